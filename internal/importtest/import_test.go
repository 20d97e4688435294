// Package importtest holds the rooms of Induct apart. It has no code, only a test.
package importtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "induct"
	root   = "../.." // the module's directory, seen from here
)

// A room is a package and what it may import of the others.
type room struct {
	path string   // below the module
	uses []string // rooms it may import
	test []string // rooms that its _test.go files may import as well; packages named …test are always allowed there
	pure bool     // no I/O: no file, no socket, no database, tests excepted
}

// rooms is the architecture. In the diagram a room uses what stands below it, never what stands beside or above:
//
//	                  cmd/induct                                  wires, decides nothing
//	graph  sqlstore  directory  upload  notify  metrics  localca  adapters: one technology each, never each other¹
//	               provision        oauth                         two domains: a user's path, a token's path
//	                            graph/syncschema                  pure: the wire form of what mapping compiles
//	                mapping
//	             expr      scim     graph/odata                   pure: no I/O, no clock
//
// ¹ directory uses sqlstore's transaction, because its effects commit with the engine's own.
// expr uses expr/regex and expr/netdate, the .NET regular expressions and dates of the language;
// graph uses graph/odata and graph/syncschema, its own halves that are pure; upload uses upload/records, its half that knows files.
//
// The table is the diagram from the bottom up: a room uses only rooms that are listed before it.
// A new room starts here: add a row, and draw it in the diagram.
var rooms = []room{
	{path: "internal/expr/regex", pure: true},
	{path: "internal/expr/netdate", pure: true},
	{path: "internal/expr", uses: []string{"internal/expr/regex", "internal/expr/netdate"}, pure: true},
	{path: "internal/scim", pure: true},
	{path: "internal/graph/odata", pure: true},
	{path: "internal/mapping", uses: []string{"internal/expr", "internal/scim"}, pure: true},
	{path: "internal/graph/syncschema", uses: []string{"internal/mapping", "internal/expr"}, pure: true},

	{path: "internal/provision", uses: []string{"internal/mapping", "internal/expr", "internal/scim"},
		test: []string{"internal/sqlstore", "internal/directory"}}, // scenarios run on the real store too
	{path: "internal/provision/provisiontest", uses: []string{"internal/provision", "internal/mapping", "internal/expr", "internal/scim"}},
	{path: "internal/oauth"},
	{path: "internal/oauth/oauthtest", uses: []string{"internal/oauth"}},

	{path: "internal/sqlstore/pack", pure: true},
	{path: "internal/sqlstore", uses: []string{"internal/sqlstore/pack", "internal/provision", "internal/oauth", "internal/mapping", "internal/expr", "internal/scim"}},
	{path: "internal/sqlstore/pgtest"}, // a private PostgreSQL for tests and measurements
	{path: "internal/directory", uses: []string{"internal/provision", "internal/mapping", "internal/expr", "internal/sqlstore", "internal/sqlstore/pack"}},
	{path: "internal/provision/scenario", test: []string{"internal/provision", "internal/mapping", "internal/expr", "internal/scim",
		"internal/sqlstore", "internal/directory", "internal/graph/syncschema"}}, // tests alone: docs/behaviour on the real engine
	{path: "internal/graph", uses: []string{"internal/provision", "internal/oauth", "internal/mapping", "internal/expr", "internal/scim", "internal/graph/odata", "internal/graph/syncschema"}},
	{path: "internal/upload/records", uses: []string{"internal/scim"}, test: []string{"examples/workforce"}},
	{path: "internal/upload", uses: []string{"internal/scim", "internal/upload/records"}, test: []string{"examples/workforce"}},
	{path: "internal/upload/uploadtest"},
	{path: "internal/localca"},
	{path: "internal/forwarded"},
	{path: "internal/notify", uses: []string{"internal/provision"}},
	{path: "internal/notify/notifytest", uses: []string{"internal/localca"}},
	{path: "internal/metrics", uses: []string{"internal/provision"}, test: []string{"internal/sqlstore"}},
	{path: "internal/bench", uses: []string{"internal/mapping", "internal/scim"}, test: []string{"internal/expr", "internal/upload/records", "internal/sqlstore/pgtest"}},

	{path: "examples/workforce"},
	{path: "cmd/induct", uses: []string{
		"internal/expr", "internal/scim", "internal/mapping", "internal/provision", "internal/oauth",
		"internal/sqlstore", "internal/directory", "internal/graph", "internal/graph/syncschema", "internal/upload", "internal/upload/records",
		"internal/localca", "internal/forwarded", "internal/notify", "internal/metrics", "internal/bench",
		"examples/workforce",
	}},

	{path: "internal/importtest"},
	{path: "deploy"}, // checks the files there, and runs what runs without a container engine
	{path: "test/faults/history", pure: true},
	{path: "test/faults/proxy"},
	{path: "test/faults/balance"},
	{path: "test/faults", uses: []string{"test/faults/history", "test/faults/proxy", "test/faults/balance"}, test: []string{"internal/sqlstore/pgtest"}}, // kills, freezes and cuts off the binary
	{path: "test/docs"}, // runs the snippets of docs/build-a-client.md against the binary
}

// impure are the packages, with all below them, that a pure room stays away from.
var impure = []string{"os", "net", "database/sql", "log", "syscall", "zombiezen.com/go/sqlite", "modernc.org/sqlite"}

// harmless are packages below those of impure that only parse.
var harmless = []string{"net/url", "net/mail", "net/netip", "net/textproto"}

func TestImports(t *testing.T) {
	table := make(map[string]room, len(rooms))
	for _, r := range rooms {
		if _, ok := table[r.path]; ok {
			t.Errorf("%s stands twice in the table", r.path)
		}
		for _, use := range slices.Concat(r.uses, r.test) {
			if !slices.ContainsFunc(rooms, func(o room) bool { return o.path == use }) {
				t.Errorf("%s: the table lets it use %s, which is no room", r.path, use)
			}
		}
		table[r.path] = r
	}

	seen := make(map[string]bool)
	for _, file := range goFiles(t) {
		dir := path.Dir(file)
		r, ok := table[dir]
		if !ok {
			if !seen[dir] {
				t.Errorf("%s is no room yet: add it to the table in internal/importtest, with what it may import", dir)
			}
			seen[dir] = true
			continue
		}
		seen[dir] = true
		for _, imp := range imports(t, file) {
			if why := r.forbids(imp, strings.HasSuffix(file, "_test.go")); why != "" {
				t.Errorf("%s imports %s: %s", file, imp, why)
			}
		}
	}
	for _, r := range rooms {
		if !seen[r.path] {
			t.Errorf("%s stands in the table and has no Go file", r.path)
		}
	}
}

// TestOrder proves that the table has no circle: each room uses only rooms that are listed before it.
func TestOrder(t *testing.T) {
	before := make(map[string]bool)
	for _, r := range rooms {
		for _, use := range r.uses {
			if !before[use] {
				t.Errorf("%s uses %s, which is not listed before it", r.path, use)
			}
		}
		before[r.path] = true
	}
}

// forbids says why r must not import imp, or "".
func (r room) forbids(imp string, inTest bool) string {
	if below, ok := strings.CutPrefix(imp, module+"/"); ok {
		switch {
		case below == r.path || slices.Contains(r.uses, below):
			return ""
		case inTest && (strings.HasSuffix(below, "test") || slices.Contains(r.test, below)):
			return ""
		}
		return "the table does not allow it"
	}
	if r.pure && !inTest && within(imp, impure) && !slices.Contains(harmless, imp) {
		return "the room is pure"
	}
	return ""
}

// within reports whether imp is one of the packages, or below one.
func within(imp string, packages []string) bool {
	return slices.ContainsFunc(packages, func(p string) bool { return imp == p || strings.HasPrefix(imp, p+"/") })
}

// goFiles returns the Go files of the module, as slash paths below it. Nested modules are not part of it.
func goFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && (skipped(d.Name()) || nested(name)) {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(rel, ".go") {
			files = append(files, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// skipped reports whether the go command ignores a directory of this name.
func skipped(name string) bool {
	return name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

// nested reports whether dir is the root of another module.
func nested(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// imports returns the import paths of a file below the module.
func imports(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, filepath.FromSlash(file)), nil, parser.ImportsOnly)
	if err != nil {
		t.Errorf("%s: %v", file, err)
		return nil
	}
	var paths []string
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		paths = append(paths, p)
	}
	return paths
}
