"""What a machine or a cluster needs to run the sensor: manifests, and a unit of systemd. Speaks to nobody."""
