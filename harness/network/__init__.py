"""Where traffic comes from: loopback, or a lab of network namespaces with routers and NAT gateways."""
