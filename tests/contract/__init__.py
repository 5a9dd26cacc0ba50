"""What every sink promises, as one suite that runs over all of them."""
