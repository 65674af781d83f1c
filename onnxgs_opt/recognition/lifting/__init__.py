"""One element of a tensor as an expression, at given sizes of the dynamic dims."""
