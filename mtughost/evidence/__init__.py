"""What leaves the house: redaction, pseudonyms, bundles and their manifest."""
