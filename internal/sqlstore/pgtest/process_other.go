//go:build !linux

package pgtest

import "syscall"

func apart() (*syscall.SysProcAttr, error) { return nil, nil }

func giveAway(string) error { return nil }

// killChildren leaves them: they end when they notice that the server has.
func killChildren(int) {}
