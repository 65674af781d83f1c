"""Ways in which public code samples by hand, each written anew: `python -m tests.campaigns.field.forms OUTDIR`."""
