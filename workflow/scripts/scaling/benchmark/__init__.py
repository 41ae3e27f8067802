"""What ``make bench`` measures: the engine beside another (engine), where a study's time went (study), how
often intervals of fits hold (fits), and how soon a page can be used (page)."""
