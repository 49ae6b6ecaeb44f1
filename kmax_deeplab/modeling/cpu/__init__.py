"""What only CPUs gain from; on other devices these modules compute the plain function."""
