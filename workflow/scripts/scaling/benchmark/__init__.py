"""What ``make bench`` measures: the engine beside another (engine), and where a study's time went (study)."""
