package sqlstore

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"
)

// Space is what the store takes of its file system, in bytes.
type Space struct {
	Database int64 // the database file
	WAL      int64 // its write-ahead log
	Free     int64 // what the process may still use; -1 if the system does not tell
	Reserve  int64 // free space below which uploads are refused; 0: they never are for that
}

// Space measures the store. What is free may be a second old.
func (s *Store) Space() (sp Space, err error) {
	if s.pg != nil {
		sp.Free = -1
		err = s.read(context.Background(), func(c Conn) error {
			return query(c, "SELECT pg_database_size(current_database())", nil, func(st Row) error {
				sp.Database = st.ColumnInt64(0)
				return nil
			})
		})
		return sp, err
	}
	database, err := fileBytes(filepath.Join(s.dir, "induct.db"))
	wal, walErr := fileBytes(filepath.Join(s.dir, "induct.db-wal"))
	if errors.Is(walErr, fs.ErrNotExist) { // right after it was folded in
		walErr = nil
	}
	free, freeErr := s.space.freeBytes(s.dir)
	if free == math.MaxInt64 {
		free = -1
	}
	return Space{database, wal, free, max(s.reserve, 0)}, errors.Join(err, walErr, freeErr)
}

func fileBytes(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// CheckRead reads from the file; an error says why it cannot be read. It is provision.ErrDamaged if damage was ever seen.
func (s *Store) CheckRead(ctx context.Context) error {
	if err := s.damage.found(); err != nil {
		return err
	}
	_, err := s.Setting(ctx, "tenant.id")
	return err
}

// CheckWrite writes something durably, after what waits to be written; an error says why nothing can be. Once it waits
// for its turn it does not look at ctx any more.
func (s *Store) CheckWrite(ctx context.Context) error {
	return s.db.write(ctx, func(c Conn) error {
		return query(c, "INSERT INTO setting (name, value) VALUES ('checked', ?1) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
			[]any{s.now().UTC().Format(time.RFC3339Nano)}, nil)
	})
}
