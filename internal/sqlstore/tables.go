package sqlstore

import (
	"fmt"
	"strings"
)

// columnKind is what a column holds, in every database.
type columnKind byte

const (
	integers columnKind = 'i'
	texts    columnKind = 't'
	blobs    columnKind = 'b'
)

// column is a column of a table in a dump.
type column struct {
	name string
	kind columnKind
}

// table is a table in a dump: all of it that is not made from something else.
type table struct {
	name    string
	order   string // columns by which its rows are read, so that they are written in the order of the table's own tree
	columns []column
}

// names lists the columns, as statements have them.
func (t *table) names() string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

// dumped are the tables of an installation whose rows a dump holds, the same for every database; a test compares them with
// the migrations. What is staged of keys is among the rows of key (see keys.go).
func dumped() []table {
	return []table{
		dumpedTable("setting", "name", "name:t value:t"),
		dumpedTable("client", "app_id", "app_id:b content:t"),
		dumpedTable("signing_key", "key_id", "key_id:t private:b created:i retired:i"),
		dumpedTable("job", "pk", "pk:i id:t state:t revision:i next:i accepted:i"),
		dumpedTable("progress", "job", "job:i position:i taken:i cycle:i linked:i enabled:i held:i staged:i retrying:i condition:t"),
		dumpedTable(laneTable, "", "job:i lane:i position:i"),
		dumpedTable("job_content", "job", "job:i content:t"),
		dumpedTable("app", "pk", "pk:i id:b content:t"),
		dumpedTable("upload", "job, number", "job:i number:i id:b request_id:t body_hash:b received:i operations:i done:i closed:i settled:i pending:i counts:t purge:i"),
		dumpedTable("upload_body", "job, number", "job:i number:i body:b"),
		dumpedTable("cycle", "job, number", "job:i number:i last:i began:i ended:i"),
		dumpedTable("reevaluation", "job", "job:i number:i cursor:i began:i ended:i evaluated:i ends:t"),
		dumpedTable("tally", "job, cycle, outcome", "job:i cycle:i outcome:t records:i"),
		dumpedTable("person", "pk", "pk:i job:i anchor:t object:b version:i hash:b program:i upload:i place:i name:t enabled:i pending:i revision:i kept:b"),
		dumpedTable("pending", "person", "person:i job:i kind:i verdict:i staged:i due:i content:t decided_by:t record:b"),
		dumpedTable("purge", "pk", "pk:i job:i content:t"),
		dumpedTable("audit", "pk", "pk:i at:i activity:t content:t"),
		dumpedTable("notice", "pk", "pk:i job:i next:i content:t"),
		dumpedTable("reference", "pk", "pk:i job:i person:i anchor:t attribute:t target:t upload:i place:i bulk_id:t reported:i ready:i due:i attempts:i"),
		dumpedTable("log_block", "first", "first:i last:i job:i cycle:i began:i ended:i lowest:i highest:i success:i failure:i skipped:i warning:i anchors:b"),
		dumpedTable("log_entries", "first", "first:i packed:b"),
		dumpedTable("log_run", "run", "run:i first:i last:i firsts:b"),
		dumpedTable("log_run_hash", "place", "place:i hashes:b"),
		dumpedTable("unread_path", "job, path", "job:i path:t records:i"),
		dumpedTable("users", "pk", "pk:i id:b version:i created:i deleted:i content:b"),
		dumpedTable("account", "id", "id:b upn:t created:i content:t"),
		dumpedTable("ticket", "hash", "hash:b kind:t family:b person:b issued:i expires:i used:i content:b"),
		dumpedTable("failure", "origin", "origin:b failures:i since:i"),
		dumpedTable("allowance", "name", "name:t state:b expires:i"),
		dumpedTable("upload_mark", "job, day", "job:i day:i number:i"),
		dumpedTable("retention", "kind", "kind:t dropped:i through:i ran:i holder:t until:i"),
		dumpedTable(keyTable, "hash, row", "hash:i row:i"),
	}
}

// Tables that databases hold each in its own way: keys are partly staged in SQLite (see keys.go), and have a number more in
// PostgreSQL (pgkeys.go). The lanes of a job are in a dump only if they do not stand at the same upload, which they always
// do in SQLite; else how many there are is the database's choice.
const (
	keyTable  = "key"
	laneTable = "lane"
)

func dumpedTable(name, order, columns string) table {
	t := table{name: name, order: order}
	for c := range strings.FieldsSeq(columns) {
		t.columns = append(t.columns, mustColumn(c))
	}
	return t
}

func mustColumn(text string) column {
	c, err := parseColumn(text)
	if err != nil {
		panic(err)
	}
	return c
}

func (c column) String() string { return c.name + ":" + string(c.kind) }

// parseColumn reads a column as String writes it. Names are checked, because they become part of statements.
func parseColumn(text string) (column, error) {
	name, k, _ := strings.Cut(text, ":")
	if !plainName(name) || k != string(integers) && k != string(texts) && k != string(blobs) {
		return column{}, fmt.Errorf("%q is not a column", text)
	}
	return column{name, columnKind(k[0])}, nil
}

// plainName reports whether a text is a name as tables and columns have.
func plainName(s string) bool {
	odd := func(r rune) bool { return (r < 'a' || r > 'z') && r != '_' }
	return s != "" && len(s) < 64 && !strings.ContainsFunc(s, odd)
}
