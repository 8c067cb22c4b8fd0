// Package telemetry is how xferd tells what it does: the logger and its uniform
// attributes, the metrics registry, and the HTTP listener for metrics and
// health. It has no globals, and decides nothing about what is worth telling.
package telemetry
