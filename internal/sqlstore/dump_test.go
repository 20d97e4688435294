package sqlstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"zombiezen.com/go/sqlite"

	"induct/internal/provision"
	"induct/internal/provision/provisiontest"
)

// derived are the tables that no dump holds: what is in them is made anew, or is among the rows of another table.
var derived = []string{"key_stage", "woken", "goose_db_version", "sqlite_sequence"}

// A dump holds every table and every column that the migrations make, so that none is forgotten.
func TestDumpedTables(t *testing.T) {
	s := fresh(t)
	got := map[string][]column{}
	if err := s.Read(t.Context(), func(c Conn) error {
		return query(c, `SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' ORDER BY m.name, c.cid`, nil, func(r Row) error {
			name := r.ColumnText(0)
			if !slices.Contains(derived, name) {
				kinds := map[string]columnKind{"INTEGER": integers, "TEXT": texts, "BLOB": blobs}
				got[name] = append(got[name], column{r.ColumnText(1), kinds[r.ColumnText(2)]})
			}
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	for _, table := range dumped() {
		if table.name == laneTable {
			continue
		}
		if table.name == "job" { // how many there are is the database's choice
			got["job"] = slices.DeleteFunc(got["job"], func(c column) bool { return c.name == "lanes" })
		}
		if !slices.Equal(got[table.name], table.columns) {
			t.Errorf("table %s has the columns\n\t%v, a dump has\n\t%v", table.name, got[table.name], table.columns)
		}
		delete(got, table.name)
	}
	for name := range got {
		t.Errorf("table %s is in no dump", name)
	}
}

// stuff inserts rows of all kinds of values into every table.
func stuff(t testing.TB, dir string, seed uint64, rows int) {
	t.Helper()
	s, err := Open(t.Context(), dir, Options{ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(seed, seed))
	for _, table := range dumped() {
		if table.name == keyTable || table.name == laneTable {
			continue
		}
		for n := range rows {
			values := make([]any, len(table.columns))
			for i, c := range table.columns {
				values[i] = oddValue(rnd, c, n, strings.Contains(table.order, c.name) || c.name == "id" || c.name == "object")
			}
			l := &liteTarget{conn: s.w.conn}
			if err := errors.Join(l.open(&table), s.w.do(t.Context(), func(Conn) error { return l.put(&table, values) })); err != nil {
				t.Fatal(table.name, err)
			}
		}
	}
	for i := range 70 { // more than there are slices, so that some keys are in the table and others are staged
		if err := s.Write(t.Context(), func(u *Unit) error {
			for n := range int64(1 + rnd.IntN(4)) {
				hash := rnd.Int64() - rnd.Int64()
				u.File(hash, n)
				u.File(hash, n+9)
				if n%2 == 0 {
					u.Unfile(hash, n)
				}
			}
			u.File(int64(i), 7)
			u.Unfile(int64(i-30), 7)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.w.do(t.Context(), func(c Conn) error { // every third reference is woken, and one that is gone
		u := &Unit{s: s, conn: c, job: 1}
		return errors.Join(u.putWoken([]int64{3, 9, 6}, false), u.putWoken([]int64{3, 12, 1 << 40}, true))
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// nullable are columns that may be null, wherever there are columns of that name.
var nullable = []string{"anchors", "request_id", "done", "closed", "settled", "counts", "purge", "deleted", "through", "ran"}

// oddValue makes a value of a column; one of a key is like no other's.
func oddValue(rnd *rand.Rand, c column, n int, unique bool) any {
	switch {
	case unique && c.kind == integers:
		return int64(n + 1)
	case unique && c.kind == texts:
		return fmt.Sprint("t", n)
	case unique:
		return []byte(fmt.Sprintf("%016d", n))
	}
	if slices.Contains(nullable, c.name) && n%2 == 0 {
		return nil
	}
	switch c.kind {
	case integers:
		most := int64(1 << 50)
		if c.name == "program" { // a hash
			most = 1<<63 - 1
		}
		return []int64{0, 1, -1, 1 << 40, -most, most}[rnd.IntN(6)]
	case texts:
		return []string{"", "{}", "Zoë ☃", "'; DROP TABLE job"}[rnd.IntN(4)] + fmt.Sprint(n)
	}
	size := []int{0, 1, 16, 100_000}[rnd.IntN(4)]
	if slices.Contains([]string{"family", "person"}, c.name) { // which are in an index
		size = min(size, 16)
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// content reads all tables of a database by other means than dumps do.
func content(t testing.TB, dir string) map[string][]string {
	t.Helper()
	c, err := sqlite.OpenConn(filepath.Join(dir, databaseFile), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all := map[string][]string{}
	for _, table := range dumped() {
		if table.name == keyTable || table.name == laneTable { // keys come below
			continue
		}
		list := make([]string, len(table.columns))
		for i, c := range table.columns {
			if list[i] = "quote(" + c.name + ")"; table.name == "reference" && c.name == "ready" {
				list[i] = "CASE WHEN pk IN (3, 6, 9, 12) THEN 1 ELSE quote(ready) END" // woken, see stuff
			}
		}
		if err := query(liteConn{c}, "SELECT "+strings.Join(list, " || ',' || ")+" FROM "+table.name, nil, func(r Row) error {
			all[table.name] = append(all[table.name], r.ColumnText(0))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(all[table.name])
	}
	s, err := Open(t.Context(), dir, Options{ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var hashes []int64
	if err := s.Read(t.Context(), func(c Conn) error {
		staged, err := stagedKeys(c)
		for _, ch := range staged {
			hashes = append(hashes, ch.hash)
		}
		return errors.Join(err, query(c, "SELECT hash FROM key", nil, func(r Row) error { hashes = append(hashes, r.ColumnInt64(0)); return nil }))
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	if err := s.ReadKeyed(t.Context(), hashes, func(_ Conn, rows [][]int64) error {
		for i, h := range hashes {
			if slices.Sort(rows[i]); len(rows[i]) > 0 {
				all[keyTable] = append(all[keyTable], fmt.Sprint(h, rows[i]))
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func dirPlace(dir string) Place { return Place{dir: dir} }

// backedUp returns a backup of a stuffed installation, and what it holds.
func backedUp(t testing.TB, dir string) (file []byte, sum *Summary) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.induct")
	sum, err := Backup(t.Context(), dirPlace(dir), path, DumpOptions{Release: "1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %v, %v", info.Mode(), err)
	}
	if file, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the backup there is %v, %v", left, err)
	}
	return file, sum
}

// What is restored is what was backed up, row by row, whatever is in it, and a copy is the same; all have the same checksums.
func TestRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stuff(t, dir, 1, 30)
	file, sum := backedUp(t, dir)
	restored, copied := filepath.Join(t.TempDir(), "new"), filepath.Join(t.TempDir(), "new")
	r, err := Restore(t.Context(), bytes.NewReader(file), dirPlace(restored), false, DumpOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Copy(t.Context(), dirPlace(dir), dirPlace(copied), DumpOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := content(t, dir)
	if len(want) != len(dumped())-1 || sum.Rows < 30*int64(len(want)-1) {
		t.Fatalf("%d tables were filled, with %d rows", len(want), sum.Rows)
	}
	for place, got := range map[string]Restored{restored: r, copied: c} {
		if err := sum.Differs(got.Summary); err != nil {
			t.Error(err)
		}
		if !reflect.DeepEqual(content(t, place), want) {
			t.Error("the rows are not the same")
		}
	}
	if got := r.Header; got.Release != "1.2.3" || got.Source != "sqlite" || got.Schema < 1 || !strings.Contains(string(file[:2000]), "signing keys") {
		t.Errorf("the header is %+v", got)
	}
	if again, err := VerifyBackup(t.Context(), bytes.NewReader(file), DumpOptions{}); err != nil || again.Differs(sum) != nil {
		t.Errorf("verified it is %+v, %v", again, err)
	}
}

// Two databases that differ in one value are told apart, and it is said where.
func TestDiffers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stuff(t, dir, 2, 2)
	_, before := backedUp(t, dir)
	s, err := Open(t.Context(), dir, Options{ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.w.do(t.Context(), func(c Conn) error { return query(c, "UPDATE tally SET records = records + 1 WHERE job = 1", nil, nil) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, after := backedUp(t, dir)
	if err := before.Differs(after); err == nil || err.Error() != "the 2 rows of table tally are not the same" {
		t.Error(err)
	}
}

// A backup of which a byte is missing, changed or added is refused, wherever that is.
func TestDamagedBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stuff(t, dir, 3, 3)
	file, _ := backedUp(t, dir)
	rnd := rand.New(rand.NewPCG(4, 4))
	refused := func(what string, b []byte) {
		t.Helper()
		if _, err := VerifyBackup(t.Context(), bytes.NewReader(b), DumpOptions{}); err == nil {
			t.Errorf("%s is not noticed", what)
		} else if !errors.Is(err, ErrDamaged) && !strings.Contains(err.Error(), "not a backup") && !strings.Contains(err.Error(), "format") {
			t.Errorf("%s: %v", what, err)
		}
	}
	places := []int{0, len(dumpMagic), len(dumpMagic) + 1, len(file) - 1}
	for range 300 {
		places = append(places, rnd.IntN(len(file)))
	}
	for _, n := range places {
		refused(fmt.Sprintf("the end at byte %d", n), file[:n])
		bad := slices.Clone(file)
		bad[n] ^= 1 << rnd.IntN(8)
		refused(fmt.Sprintf("byte %d", n), bad)
	}
	refused("a byte more", append(slices.Clone(file), 0))
	refused("two of it", slices.Concat(file, file))
	frames := framesOf(t, file)
	for i := range frames {
		refused("a frame left out", slices.Concat([]byte(dumpMagic), slices.Concat(slices.Delete(slices.Clone(frames), i, i+1)...)))
	}
	slices.Reverse(frames[2:5])
	refused("frames in another order", slices.Concat([]byte(dumpMagic), slices.Concat(frames...)))

	to := filepath.Join(t.TempDir(), "new")
	if _, err := Restore(t.Context(), bytes.NewReader(file[:len(file)/2]), dirPlace(to), false, DumpOptions{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("half of it was restored: %v", err)
	}
	if files := names(t, to); !slices.Equal(files, []string{"lock"}) {
		t.Errorf("half of a backup has left %v", files)
	}
}

// framesOf takes a dump apart.
func framesOf(t *testing.T, file []byte) (frames [][]byte) {
	for b := file[len(dumpMagic):]; len(b) > 0; {
		n := 5 + int(b[1])<<24 + int(b[2])<<16 + int(b[3])<<8 + int(b[4]) + 32
		frames = append(frames, b[:n])
		b = b[n:]
	}
	if len(frames) < 2*len(dumped()) {
		t.Fatalf("%d frames", len(frames))
	}
	return frames
}

func names(t *testing.T, dir string) (files []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		files = append(files, e.Name())
	}
	return files
}

// stalled is a reader that ends a context when half is read.
type stalled struct {
	io.Reader
	left   int
	cancel func()
}

func (s *stalled) Read(b []byte) (int, error) {
	if s.left -= len(b); s.left < 0 {
		s.cancel()
	}
	return s.Reader.Read(b)
}

// A place is either as it was or has all of the backup, and nothing serves it in between.
func TestRestoreIntoWhatIsThere(t *testing.T) {
	t.Parallel()
	from, dir := t.TempDir(), t.TempDir()
	stuff(t, from, 5, 2)
	file, sum := backedUp(t, from)
	stuff(t, dir, 6, 3)
	old := content(t, dir)
	restore := func(ctx context.Context, r io.Reader, force bool) (Restored, error) {
		return Restore(ctx, r, dirPlace(dir), force, DumpOptions{})
	}
	if _, err := restore(t.Context(), bytes.NewReader(file), false); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a database was to be overwritten: %v", err)
	}
	s, err := Open(t.Context(), dir, Options{ReserveBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := restore(t.Context(), bytes.NewReader(file), true); !errors.Is(err, ErrInUse) {
		t.Errorf("a database in use was to be replaced: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := restore(ctx, &stalled{bytes.NewReader(file), len(file) / 2, cancel}, true); err == nil {
		t.Error("it was not interrupted")
	}
	if !reflect.DeepEqual(content(t, dir), old) {
		t.Error("an interrupted restore has changed what was there")
	}

	// What a killed restore leaves.
	if err := os.WriteFile(filepath.Join(dir, loadingFile), []byte("half of a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir, Options{}); !errors.Is(err, ErrUnfinished) {
		t.Errorf("half a database is served: %v", err)
	}
	if _, err := Backup(t.Context(), dirPlace(dir), filepath.Join(t.TempDir(), "b"), DumpOptions{}); !errors.Is(err, ErrUnfinished) {
		t.Errorf("half a database is backed up: %v", err)
	}
	r, err := restore(t.Context(), bytes.NewReader(file), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(r.Replaced, filepath.Join(dir, "old", databaseFile)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(content(t, filepath.Join(dir, "old")), old) {
		t.Error("what was there is not what was put aside")
	}
	if !reflect.DeepEqual(content(t, dir), content(t, from)) || sum.Differs(r.Summary) != nil {
		t.Error("it does not hold what the backup holds")
	}
}

// A store can be backed up and restored between any two steps: its counts agree with a model of them afterwards.
func TestLedgerOverBackups(t *testing.T) {
	t.Parallel()
	open := func(t rapid.TB, dir string) provision.Store {
		s, err := Open(context.Background(), dir, Options{ReserveBytes: -1, FilterKiB: 1, Known: 8, Readers: 1})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	crash := func(rt rapid.TB, old provision.Store) provision.Store {
		if seq, err := old.LastSeq(context.Background()); err != nil || seq%5 != 1 { // some of the moments: each takes a while
			return old
		}
		dir, file := t.TempDir(), filepath.Join(t.TempDir(), "b")
		if _, err := Backup(context.Background(), dirPlace(old.(*Store).Dir()), file, DumpOptions{}); err != nil {
			rt.Fatal(err)
		}
		if err := old.(*Store).Close(); err != nil {
			rt.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			rt.Fatal(err)
		}
		if _, err := Restore(context.Background(), bytes.NewReader(b), dirPlace(dir), false, DumpOptions{}); err != nil {
			rt.Fatal(err)
		}
		return open(rt, dir)
	}
	provisiontest.TestLedger(t, open, crash, func(s provision.Store) error { return s.(*Store).Close() })
}

// Whatever is read as a dump, the answer is an error or a dump, and takes no more memory than there are bytes.
func FuzzReadDump(f *testing.F) {
	dir := f.TempDir()
	stuff(f, dir, 7, 1)
	file, _ := backedUp(f, dir)
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Add([]byte(dumpMagic + "H\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := VerifyBackup(t.Context(), bytes.NewReader(b), DumpOptions{}); err != nil {
			return
		}
		for _, bad := range [][]byte{b[:len(b)-1], append(slices.Clone(b), 0)} { // what is whole is not whole with a byte less or more
			if _, err := VerifyBackup(t.Context(), bytes.NewReader(bad), DumpOptions{}); err == nil {
				t.Error("it passes for a backup")
			}
		}
	})
}
