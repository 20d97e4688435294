package records

import (
	"bytes"
	"encoding/json"
	"html"
	"io"
	"slices"
	"strings"
	"testing"
)

// FuzzJSON holds that whatever is in a JSON file, what comes out are records or a clear error, that reading again gives
// the same, and that what WriteFailed writes gives the same records again.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{
		`[{"id":7,"on":true},{"id":"8"}]`, "{\"id\":\"7\"}\n{\"id\":\"8\"}", `{"value":[{"id":1}],"x":[1]}`, "\ufeff[{}]", "\xff\xfe[\x00]\x00",
		`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"7","emails":[{"value":"a"}]}`,
		`{"Operations":[{"method":"POST","path":"/Users","bulkId":"b","data":{"externalId":"7"}},{"method":"DELETE","path":"/Users/1"}]}`,
		`{"induct":{},"data":{"id":1}}`, `{"induct":{},"method":"PUT","path":"/Users/1","data":{}}`, `[{"a":"\ud800\"","b":[[],{}],"c":1e5}]`,
	} {
		f.Add([]byte(text))
	}
	m := mustMapping(f, `{"attributes":{"externalId":"id","active":"on","urn:x:y:z":"a.b[0]"},"bulkId":"b","empty":"keep"}`)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || data[0] == 'P' || data[0] > 0x7f && data[0] < 0xe0 { // workbooks have a test of their own
			return
		}
		file, err := OpenReader(bytes.NewReader(data), Options{Format: FormatJSON})
		if err != nil {
			return
		}
		defer file.Close()
		for _, mapping := range []*Mapping{nil, m} {
			first, err := all(file, mapping)
			again, err2 := all(file, mapping)
			if (err == nil) != (err2 == nil) || len(first) != len(again) {
				t.Fatalf("%d records, %v; then %d, %v", len(first), err, len(again), err2)
			}
			for _, r := range first {
				if !json.Valid(BulkRequest([]Record{r})) {
					t.Fatalf("not JSON: %s", BulkRequest([]Record{r}))
				}
			}
			if src, err := file.Records(mapping); err == nil {
				Validate(src, func(Problem) {})
			}
			if err != nil || len(first) == 0 {
				continue
			}
			var b bytes.Buffer
			n, err := file.WriteFailed(&b, func(line int) (Failure, bool) { return Failure{Line: line, Reason: "r"}, true })
			if err != nil || n != len(first) {
				t.Fatalf("%d of %d written, %v", n, len(first), err)
			}
			written, err := OpenReader(&b, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer written.Close()
			back, err := all(written, mapping)
			if err != nil || !slices.EqualFunc(first, back, func(a, b Record) bool {
				return a.Anchor == b.Anchor && a.Method == b.Method && a.Path == b.Path && bytes.Equal(a.Data, b.Data)
			}) {
				t.Fatalf("%+v\nread back as\n%+v, %v", first, back, err)
			}
		}
		sample, _ := file.Sample(10)
		checkSuggestion(t, file.Columns(), sample)
	})
}

func checkSuggestion(t *testing.T, columns []string, sample [][]string) {
	s := Suggest(columns, sample)
	if !slices.ContainsFunc(s.Attributes, func(a Suggested) bool { return a.Path == "externalId" }) {
		return
	}
	if _, err := ParseMapping(s.Mapping); err != nil {
		t.Fatalf("%v\n%s", err, s.Mapping)
	}
}

// FuzzMapping holds that ParseMapping takes what the schema takes, duplicates aside, and never panics.
func FuzzMapping(f *testing.F) {
	f.Add([]byte(fullMapping))
	f.Add([]byte(`{"attributes":{"externalId":{"columns":["a","b"],"separator":"","type":"string"},"active":{"column":"c","type":"boolean"}},"unmapped":["x"],"$schema":"s"}`))
	f.Add([]byte(`{"attributes":{"externalId":"ID","urn:x:y:z[type eq \"a\\\"\"].w":{"constant":null}}}`))
	validate := mappingSchema(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := ParseMapping(data)
		if err != nil && json.Valid(data) && validate(string(data)) == nil && !strings.Contains(err.Error(), "twice") {
			t.Fatalf("the schema takes %s\nParseMapping: %v", data, err)
		}
	})
}

// FuzzTable holds that a table can be suggested for, validated and written back, whatever is in it.
func FuzzTable(f *testing.F) {
	f.Add([]byte("id;first name;status\n1;A;Active\n2;\"B\n\";x\n"), "", "")
	f.Add([]byte("\xff\xfei\x00d\x00\n\x007\x00"), "", "utf-16")
	f.Add([]byte("sep=^\nid^x\n1^\xfc\n"), "^", "iso-8859-15")
	f.Fuzz(func(t *testing.T, data []byte, delimiter, encoding string) {
		file, err := OpenReader(bytes.NewReader(data), Options{Format: FormatCSV, Delimiter: delimiter, Encoding: encoding})
		if err != nil {
			return
		}
		defer file.Close()
		sample, err := file.Sample(10)
		if err != nil {
			t.Fatal(err)
		}
		checkSuggestion(t, file.Columns(), sample)
		rows := 0
		tab, err := file.table()
		for err == nil {
			if _, _, err = tab.Next(); err == nil {
				rows++
			}
		}
		if err != io.EOF {
			return
		}
		var b bytes.Buffer
		n, err := file.WriteFailed(&b, func(line int) (Failure, bool) { return Failure{Line: line, Reason: "=r"}, true })
		if err != nil || n != rows {
			t.Fatalf("%d of %d rows written, %v", n, rows, err)
		}
	})
}

// FuzzSheet holds that a sheet is read to its end or refused, whatever stands in its rows.
func FuzzSheet(f *testing.F) {
	f.Add(`<row r="3"><c r="A3" s="1"><v>1</v></c></row><row><c t="b"><v>1</v></c></row>`, `"E-"000;[Red]`)
	f.Add(`<row><c t="inlineStr"><is><r><t>a_x000D_</t></r><rPh><t>b</t></rPh></is></c><x><y/></x></row>`, `dd.mm.yyyy hh:mm`)
	f.Add(`<row><c><f>1+1</f><v/></c></row><row><c t="e"><v>#N/A</v></c></row>`, `[h]:mm\\0`)
	m := mustMapping(f, `{"attributes":{"externalId":"id"}}`)
	f.Fuzz(func(t *testing.T, rows, format string) {
		p := parts(rows)
		p["xl/styles.xml"] = `<styleSheet><numFmts><numFmt numFmtId="200" formatCode="` + html.EscapeString(format) + `"/></numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="200"/></cellXfs></styleSheet>`
		p["xl/_rels/workbook.xml.rels"] = strings.Replace(p["xl/_rels/workbook.xml.rels"], "</", `<Relationship Id="r3" Type="x/styles" Target="styles.xml"/></`, 1)
		file, err := OpenReader(bytes.NewReader(pack(t, p)), Options{})
		if err != nil {
			return
		}
		defer file.Close()
		src, err := file.Records(m)
		if err != nil {
			t.Fatal(err)
		}
		for last := 1; ; {
			rec, err := src.Next()
			if isRowError(err) {
				continue
			}
			if err != nil {
				return
			}
			if rec.Line <= last || !json.Valid(rec.Data) {
				t.Fatalf("row %d after %d: %s", rec.Line, last, rec.Data)
			}
			last = rec.Line
		}
	})
}
