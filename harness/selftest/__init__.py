"""Do the checks notice a wrong balancer? Faulty balancers, and the behaviours that have to reject them."""
