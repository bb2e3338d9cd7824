"""What answers traffic: stateful HTTP and TCP backends that know who came, and their fleet (fleet.Fleet)."""
