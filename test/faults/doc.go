// Package faults has no code, only tests: they run the real processes, under load, and kill them, freeze them, cut them off
// from their database, fill their disk and damage their file. What the service has made of it all is judged by the history
// package. docs/faults.md says what is tried and how.
package faults
