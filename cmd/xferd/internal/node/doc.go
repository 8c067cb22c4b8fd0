// Package node puts a node together from its parts and takes it apart in order.
// With cmd/xferd it is the only place that knows every concrete type.
package node
