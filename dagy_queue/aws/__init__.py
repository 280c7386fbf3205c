"""AWS at the edge: clients, error mapping and the shapes that production and the local stack share."""
