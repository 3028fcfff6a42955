package bank

// Unpaced lets a client send as fast as it can.
func Unpaced(c *Client) { c.pace.every = 0 }
