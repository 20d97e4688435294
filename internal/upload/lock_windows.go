package upload

import (
	"os"

	"golang.org/x/sys/windows"
)

// lock takes an exclusive lock that ends with f or with the process. It covers a byte far behind the text: Windows
// lets nobody read what is locked.
func lock(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{OffsetHigh: 1 << 30})
}
