"""RoIAlign by hand: samples that are proven to stand evenly apart in boxes, and their means."""
