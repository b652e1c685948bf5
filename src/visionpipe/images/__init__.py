"""Photos: import, inspect, store, label, group, split and decode them."""
