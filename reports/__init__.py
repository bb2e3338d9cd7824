"""Handlers of the engine's events: they turn verdicts into Allure, JSON, JUnit, Markdown and a table."""
