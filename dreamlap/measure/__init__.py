"""What V and M know, in numbers, on episodes that neither has learned from."""
