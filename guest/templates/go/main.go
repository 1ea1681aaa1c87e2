// {{name}}: a freeze, in which no container is cleaned up. Package retention decides when one is due: change it to your liking.
package main

import _ "policy/bindings/wit_exports"

// The host calls what the packages cleanup and retention export, and never this.
func main() {}
