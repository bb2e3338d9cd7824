"""The configuration: its shape, its rules, and its errors."""
