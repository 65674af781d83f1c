"""What every export of the field's samplers must be recognised as: `python -m tests.campaigns.field FOLDER`."""
