package bench

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// MostPeople is how many people a workforce may have.
const MostPeople = 1<<30 - 1<<20

// columns are those of the CSV form; attr is where `induct upload` puts the value.
var columns = []struct {
	name, attr string
	value      func(p *person) string
}{
	{"WorkerID", "externalId", func(p *person) string { return p.id }},
	{"UserName", "userName", func(p *person) string { return p.userName }},
	{"Active", "active", func(p *person) string { return strconv.FormatBool(p.active) }},
	{"DisplayName", "displayName", func(p *person) string { return p.display }},
	{"FirstName", "name.givenName", func(p *person) string { return p.first }},
	{"LastName", "name.familyName", func(p *person) string { return p.last }},
	{"Title", "title", func(p *person) string { return p.title.text }},
	{"NickName", "nickName", func(p *person) string { return p.nick.text }},
	{"EmployeeType", "userType", func(p *person) string { return p.kind.text }},
	{"Language", "preferredLanguage", func(p *person) string { return p.language.text }},
	{"Locale", "locale", func(p *person) string { return p.locale.text }},
	{"TimeZone", "timezone", func(p *person) string { return p.zone.text }},
	{"WorkEmail", `emails[type eq "work"].value`, func(p *person) string { return p.mail.text }},
	{"WorkPhone", `phoneNumbers[type eq "work"].value`, func(p *person) string { return p.phone.text }},
	{"MobilePhone", `phoneNumbers[type eq "mobile"].value`, func(p *person) string { return p.mobile.text }},
	{"Street", `addresses[type eq "work"].streetAddress`, func(p *person) string { return p.where(p.street) }},
	{"City", `addresses[type eq "work"].locality`, func(p *person) string { return p.where(p.city) }},
	{"Region", `addresses[type eq "work"].region`, func(p *person) string { return p.where(p.region) }},
	{"PostalCode", `addresses[type eq "work"].postalCode`, func(p *person) string { return p.where(p.postal) }},
	{"Country", `addresses[type eq "work"].country`, func(p *person) string { return p.where(p.nation) }},
	{"CostCenter", enterpriseURN + ":costCenter", func(p *person) string { return p.cost.text }},
	{"Company", enterpriseURN + ":organization", func(p *person) string { return p.firm.text }},
	{"Division", enterpriseURN + ":division", func(p *person) string { return p.division.text }},
	{"Department", enterpriseURN + ":department", func(p *person) string { return p.unit.text }},
	{"ManagerID", enterpriseURN + ":manager.value", func(p *person) string { return p.manager.text }},
	{"HireDate", extensionURN + ":HireDate", func(p *person) string { return p.hired.text }},
	{"Badge", extensionURN + ":Badge", func(p *person) string { return p.badge.text }},
	{"Building", extensionURN + ":Building", func(p *person) string { return p.building.text }},
}

// where gives a part of an address, if there is an address.
func (p *person) where(f field) string {
	if !p.located {
		return ""
	}
	return f.text
}

// mappingFile is the mapping that makes records of the CSV form.
func mappingFile() ([]byte, error) {
	attributes := map[string]any{}
	for _, c := range columns {
		attributes[c.attr] = c.name
		if c.attr == "active" {
			attributes[c.attr] = map[string]string{"column": c.name, "equals": "true"}
		}
	}
	return json.MarshalIndent(map[string]any{"attributes": attributes}, "", "  ")
}

// Write writes everybody, in the order of their numbers, to path, and returns the files that it made. What path ends
// with says what it writes:
//
//	.csv         a row for each person, and beside it .mapping.json, for `induct upload`
//	.bulk.jsonl  a bulk request of 50 people on each line
//	.jsonl       a record on each line
//
// Anything else is a directory, made if it is missing, that gets people.csv, people.jsonl and people.bulk.jsonl.
func (w Workforce) Write(ctx context.Context, path string) (files []string, err error) {
	type form struct {
		suffix string
		write  func(context.Context, *bufio.Writer) error
	}
	forms := []form{{".bulk.jsonl", w.writeRequests}, {".jsonl", w.writeRecords}, {".csv", w.writeCSV}}
	for _, f := range forms {
		if strings.HasSuffix(path, f.suffix) {
			return w.writeForm(ctx, path, f.suffix, f.write)
		}
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	for _, f := range forms {
		made, err := w.writeForm(ctx, filepath.Join(path, "people"+f.suffix), f.suffix, f.write)
		if files = append(files, made...); err != nil {
			return files, err
		}
	}
	return files, nil
}

func (w Workforce) writeForm(ctx context.Context, path, suffix string, write func(context.Context, *bufio.Writer) error) ([]string, error) {
	if err := writeFile(path, func(out *bufio.Writer) error { return write(ctx, out) }); err != nil {
		return nil, err
	}
	if suffix != ".csv" {
		return []string{path}, nil
	}
	text, err := mappingFile()
	if err != nil {
		return nil, err
	}
	mapping := strings.TrimSuffix(path, suffix) + ".mapping.json"
	return []string{path, mapping}, os.WriteFile(mapping, append(text, '\n'), 0o644)
}

// writeFile makes a file of what write writes, whole or not at all.
func writeFile(path string, write func(*bufio.Writer) error) error {
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	err = write(out)
	if err == nil {
		err = out.Flush()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}

func (w Workforce) writeCSV(ctx context.Context, out *bufio.Writer) error {
	table := csv.NewWriter(out)
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = c.name
	}
	table.Write(row)
	for i := range w.People {
		p := w.person(i, false)
		for n, c := range columns {
			row[n] = c.value(&p)
		}
		if err := errors.Join(ctx.Err(), table.Write(row)); err != nil {
			return err
		}
	}
	table.Flush()
	return table.Error()
}

func (w Workforce) writeRecords(ctx context.Context, out *bufio.Writer) error {
	var line []byte
	for i := range w.People {
		line = append(w.AppendPerson(line[:0], i, false), '\n')
		if err := writeLine(ctx, out, line); err != nil {
			return err
		}
	}
	return nil
}

func (w Workforce) writeRequests(ctx context.Context, out *bufio.Writer) error {
	var line []byte
	people := make([]int, 0, perRequest)
	for i := 0; i < w.People; i += len(people) {
		people = people[:0]
		for n := i; n < min(i+perRequest, w.People); n++ {
			people = append(people, n)
		}
		line = append(w.AppendRequest(line[:0], people, nobody), '\n')
		if err := writeLine(ctx, out, line); err != nil {
			return err
		}
	}
	return nil
}

func writeLine(ctx context.Context, out io.Writer, line []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := out.Write(line)
	return err
}
