// Package deploy holds what is needed to run xferd under a service manager: a
// systemd unit and a commented example of the configuration. There is no code
// in it, only tests that keep the two true.
package deploy
