"""What ``make bench`` measures: the engine beside another (engine), where a study's time went (study), how
often intervals of fits hold (fits), how soon a page can be used (page), and how fast text becomes tokens
(tokenizing)."""
