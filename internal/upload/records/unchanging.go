package records

import (
	"errors"
	"io/fs"
	"os"
)

// errChanged says that a file is no longer what it was when it was opened. Half of one version and half of another
// would be sent, or reasons written beside rows that they are not about.
var errChanged = errors.New("the file was changed while it was in use; put back what it was to go on with it, or begin anew with what it is now")

// unchanging is a file that gives errChanged once it was written to since it was opened. Another file that takes its
// place in the directory, as most editors do when they save, is none of its business.
type unchanging struct {
	*os.File
	info fs.FileInfo
}

func openUnchanging(path string) (*unchanging, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &unchanging{f, info}, nil
}

// ReadAt looks at the file after it has read, so that what it gives is of the version that was opened.
func (u *unchanging) ReadAt(p []byte, offset int64) (int, error) {
	n, err := u.File.ReadAt(p, offset)
	now, e := u.File.Stat()
	switch {
	case e != nil:
		return 0, e
	case now.Size() != u.info.Size() || !now.ModTime().Equal(u.info.ModTime()):
		return 0, errChanged
	}
	return n, err
}
