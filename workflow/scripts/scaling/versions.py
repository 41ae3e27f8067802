"""What to raise when a change of the code changes what it makes.

Snakemake does not look at code, so that editing a script retrains nothing: these numbers are what it sees.
"""

CORPUS = 1
"""Raise when a change of the code changes the documents made from the same wheels."""
SOURCES = 1
"""The same of the documents made from the same sources of other kinds."""
TRAINING = 2
"""Raise when a change of the code changes what the same run learns: every run then gets a new name."""
RULES = {
    **{"transfer": 1, "transfer_text": 1, "tokens": 1, "leaks": 1, "manifest": 1},
    **{"evaluation": 2, "finished": 3, "study": 1},
    **{"plan": 2, "fit": 5, "allocation": 1, "planner": 1, "figure": 5, "page": 9},
}
"""Raise one when a change of the code changes what its rule makes: the rule runs again."""
