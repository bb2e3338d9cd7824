"""What goes wrong: faults as data, the nemesis that inflicts and heals them, plans of several, and fault proxies."""
