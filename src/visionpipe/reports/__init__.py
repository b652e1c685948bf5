"""HTML reports that a customer, a manager and an auditor can read: `pages` writes them, `plots` draws."""
