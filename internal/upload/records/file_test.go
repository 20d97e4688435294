package records

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/xuri/excelize/v2"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"induct/examples/workforce"
)

const smallMapping = `{"attributes": {"externalId": "id", "userName": "user", "active": "on"}}`

// open opens text as a file until the end of the test.
func open(t testing.TB, text string, opt Options) *File {
	t.Helper()
	f, err := OpenReader(strings.NewReader(text), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func mustMapping(t testing.TB, text string) *Mapping {
	t.Helper()
	m, err := ParseMapping([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// all reads a file's records.
func all(f *File, m *Mapping) ([]Record, error) {
	src, err := f.Records(m)
	if err != nil {
		return nil, err
	}
	var list []Record
	for {
		rec, err := src.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, rec)
	}
}

func TestOpenDetects(t *testing.T) {
	const user = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"7","emails":[{"value":"a@x.example"}]}`
	const op = `{"method":"post","path":"/users/","bulkId":"b","data":` + user + `}`
	for name, tc := range map[string]struct {
		text    string
		opt     Options
		format  Format
		mapping string
		columns []string
		lines   []int
		anchors []string
	}{
		"csv":              {"id,user,on\n7,a,true\n\n8,b,\n", Options{}, FormatCSV, smallMapping, []string{"id", "user", "on"}, []int{2, 4}, []string{"7", "8"}},
		"csv caret":        {"id^user^on\n7^a^true\n", Options{Delimiter: "^"}, FormatCSV, smallMapping, []string{"id", "user", "on"}, []int{2}, []string{"7"}},
		"csv tab":          {"id\tuser,on\ton\n7\ta\t1\n", Options{Delimiter: "tab"}, FormatCSV, `{"attributes":{"externalId":"id"}}`, []string{"id", "user,on", "on"}, []int{2}, []string{"7"}},
		"csv sep":          {"sep=^\nid^user^on\n7^a^true\n", Options{}, FormatCSV, smallMapping, []string{"id", "user", "on"}, []int{3}, []string{"7"}},
		"named, bom":       {"\ufeffid,user,on\nJörg,a,\n", Options{Encoding: "shift_jis"}, FormatCSV, smallMapping, []string{"id", "user", "on"}, []int{2}, []string{"Jörg"}},
		"named":            {"id,user,on\n\x83\x65\x83\x58\x83\x67,a,\n", Options{Encoding: "Shift_JIS"}, FormatCSV, smallMapping, []string{"id", "user", "on"}, []int{2}, []string{"テスト"}},
		"named euro":       {"id,user,on\n\xa4,a,\n", Options{Encoding: "iso-8859-15"}, FormatCSV, smallMapping, []string{"id", "user", "on"}, []int{2}, []string{"€"}},
		"named cp850":      {"id,user,on\n\x94,a,\n", Options{Encoding: "ibm850"}, FormatCSV, smallMapping, []string{"id", "user", "on"}, []int{2}, []string{"ö"}},
		"named utf-16":     {"i\x00d\x00\n\x007\x00", Options{Encoding: "utf-16le"}, FormatCSV, `{"attributes":{"externalId":"id"}}`, []string{"id"}, []int{2}, []string{"7"}},
		"array":            {`[{"id":7,"user":"a","on":true} , {"id":"8"}]`, Options{}, FormatJSON, smallMapping, []string{"id", "user", "on"}, []int{1, 2}, []string{"7", "8"}},
		"array bom":        {"\ufeff[{\"id\":7}]", Options{}, FormatJSON, smallMapping, []string{"id"}, []int{1}, []string{"7"}},
		"array utf-16":     {"\xff\xfe[\x00{\x00\"\x00i\x00d\x00\"\x00:\x007\x00}\x00]\x00", Options{}, FormatJSON, smallMapping, []string{"id"}, []int{1}, []string{"7"}},
		"empty array":      {`[]`, Options{}, FormatJSON, smallMapping, nil, nil, nil},
		"empty member":     {`{"errors":[],"value":[]}`, Options{}, FormatJSON, smallMapping, nil, nil, nil},
		"member":           {`{"count":2,"tags":["a"],"page":{"n":[1]},"employees":[{"id":"7"},{"id":"8"}],"next":null}`, Options{}, FormatJSON, smallMapping, []string{"id"}, []int{1, 2}, []string{"7", "8"}},
		"lines":            {"{\"id\":\"7\"}\n\n{\"id\":\"8\",\"nested\":{\"a\":[{\"b\":1}]}}\n", Options{}, FormatJSONLines, smallMapping, []string{"id", "nested.a[0].b"}, []int{1, 3}, []string{"7", "8"}},
		"pretty lines":     {"{\n\"id\":\"7\"\n}\n{\n\"id\":\"8\"\n}\n", Options{}, FormatJSONLines, smallMapping, []string{"id"}, []int{1, 4}, []string{"7", "8"}},
		"one line":         {`{"id":"7","nested":[]}`, Options{Format: FormatJSONLines}, FormatJSONLines, smallMapping, []string{"id"}, []int{1}, []string{"7"}},
		"one object":       {`{"id":"7"}`, Options{}, FormatJSONLines, smallMapping, []string{"id"}, []int{1}, []string{"7"}},
		"one user":         {user, Options{}, FormatJSONLines, "", []string{"schemas[0]", "externalId", "emails[0].value"}, []int{1}, []string{"7"}},
		"users, mapped":    {user + "\n" + user, Options{}, FormatJSONLines, smallMapping, []string{"schemas[0]", "externalId", "emails[0].value"}, []int{1, 2}, []string{"7", "7"}},
		"scim list":        {`{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"Resources":[` + user + `]}`, Options{}, FormatJSON, "", []string{"schemas[0]", "externalId", "emails[0].value"}, []int{1}, []string{"7"}},
		"bulk":             {`{"Operations":[` + op + `,` + op + `],"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]}`, Options{}, FormatSCIM, "", []string{"schemas[0]", "externalId", "emails[0].value"}, []int{1, 2}, []string{"7", "7"}},
		"bulk lines":       {`{"operations":[` + op + `]}` + "\n" + `{"operations":[` + op + `]}`, Options{}, FormatSCIM, "", []string{"schemas[0]", "externalId", "emails[0].value"}, []int{1, 2}, []string{"7", "7"}},
		"failed record":    {`{"induct":{"line":9},"data":{"id":"7"}}`, Options{}, FormatJSONLines, smallMapping, []string{"id"}, []int{1}, []string{"7"}},
		"failed operation": {`{"induct":{"line":9},` + op[1:], Options{}, FormatJSONLines, "", []string{"schemas[0]", "externalId", "emails[0].value"}, []int{1}, []string{"7"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t, tc.text, tc.opt)
			if f.Format() != tc.format || !slices.Equal(f.Columns(), tc.columns) {
				t.Errorf("%s with columns %q, want %s with %q", f.Format(), f.Columns(), tc.format, tc.columns)
			}
			var m *Mapping
			if tc.mapping != "" {
				m = mustMapping(t, tc.mapping)
			}
			for range 2 {
				list, err := all(f, m)
				if err != nil {
					t.Fatal(err)
				}
				var lines []int
				var anchors []string
				for _, r := range list {
					lines, anchors = append(lines, r.Line), append(anchors, r.Anchor)
					if r.Method != "" || r.Path != "" || !json.Valid(r.Data) || r.BulkID == "" {
						t.Errorf("%+v", r)
					}
				}
				if !slices.Equal(lines, tc.lines) || !slices.Equal(anchors, tc.anchors) {
					t.Errorf("lines %v, anchors %q, want %v, %q", lines, anchors, tc.lines, tc.anchors)
				}
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	long := `"` + strings.Repeat("x", maxElement) + `"`
	for name, tc := range map[string]struct {
		text string
		opt  Options
		want string
	}{
		"format":         {"id\n7\n", Options{Format: "xml"}, `there is no format "xml"`},
		"delimiter":      {"id\n7\n", Options{Delimiter: ",,"}, "must be one character"},
		"quote":          {"id\n7\n", Options{Delimiter: `"`}, "must be one character"},
		"encoding":       {"id\n7\n", Options{Encoding: "klingon"}, `"klingon" is not known`},
		"wrong encoding": {"id,user,on\n7,\x81,\n", Options{Encoding: "shift_jis"}, "line 2: cell 2 is not valid shift_jis"},
		"json delimiter": {"[]", Options{Delimiter: ";"}, "goes with CSV"},
		"csv sheet":      {"id\n", Options{Sheet: "People"}, "goes with a workbook"},
		"empty":          {"", Options{}, "the file is empty"},
		"empty json":     {" \n", Options{Format: FormatJSON}, "the file is empty"},
		"no json":        {"id", Options{Format: FormatJSON}, "must begin with { or ["},
		"xls":            {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Options{}, "old Excel workbook"},
		"no excel":       {"id\n", Options{Format: FormatExcel}, "no Excel workbook"},
		"pdf":            {"%PDF-1.7", Options{}, "neither text nor a workbook"},
		"cut zip":        {"PK\x03\x04abc", Options{}, "damaged or cut off"},
		"no bulk":        {`{"id":"7"}`, Options{Format: FormatSCIM}, "no bulk request and no SCIM user"},
		"scalar":         {`[1]`, Options{}, "element 1: expected an object, found 1"},
		"late scalar":    {"[{\"id\":\"7\"},\n[]]", Options{}, "line 2: element 2: expected an object, found []"},
		"bad element":    {"[{\"id\":\"7\"},\n\n{\"id\":}]", Options{}, "element 2: not valid JSON"},
		"cut":            {`[{"id":"7"},{"id":`, Options{}, "element 2: the file ends in the middle"},
		"cut array":      {`[{"id":"7"}`, Options{}, "element 2: the file ends in the middle"},
		"trailing":       {`[{"id":"7"}] x`, Options{}, "element 2: not valid JSON"},
		"second array":   {`[{"id":"7"}][]`, Options{}, "something follows the end"},
		"blanks":         {"[{\"id\":\"7\"}" + strings.Repeat(" ", 3*maxElement) + ",{\"id\":\"8\"}]", Options{}, "element 2: "},
		"no list":        {`{"a":["x"],"b":"` + strings.Repeat("x", maxElement-100) + `","c":"` + strings.Repeat("x", 200) + `"}`, Options{}, "no member that is a list of objects"},
		"no operations":  {`{"Operations":[]}{"schemas":[]}`, Options{}, "the bulk request has no Operations"},
		"two lists":      {`{"a":[{"id":"7"}],"b":[{"id":"8"}]}`, Options{}, `two lists of objects, "a" and "b"`},
		"twice":          {`[{"id":"7","id":"8"}]`, Options{}, `the name "id" stands twice`},
		"twice within":   {`[{"id":"7","a":[{"b":1,"b":2}]}]`, Options{}, `the name "b" stands twice`},
		"deep":           {"[" + deep + "]", Options{}, "more than 24 levels"},
		"very deep":      {strings.Repeat("[", 20000), Options{}, "element 1: not valid JSON"},
		"deep aside":     {`{"a":` + strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat("}", 40) + `,"p":[{"id":"7"}]}`, Options{}, "more than 24 levels"},
		"long":           {`[{"id":"7"},{"id":` + long + `}]`, Options{}, "element 2: it is longer than 1 MiB"},
		"utf-8":          {"[{\"id\":\"\xff\"}]", Options{}, "not valid UTF-8"},
		"object at path": {`[{"id":{"a":1}}]`, Options{}, "the value is an object"},
		"list at path":   {`[{"id":["a"]}]`, Options{}, "the value is a list"},
		"one line":       {"{\"id\":1}\n{\"id\":2} {\"id\":3}", Options{}, "line 2: element 3: two objects begin on this line"},
		"zip as csv":     {"PK\x03\x04abc", Options{Format: FormatCSV}, "a workbook or another zip archive, not csv"},
		"no method":      {`{"Operations":[{"path":"/Users","data":{}}]}`, Options{}, "record 1: the operation has no method"},
		"no path":        {`{"Operations":[{"method":"POST","data":{}}]}`, Options{}, "the operation has no path"},
		"no data":        {`{"Operations":[{"method":"POST","path":"/Users","data":null}]}`, Options{}, "the operation has no data"},
		"bad data":       {`{"Operations":[{"method":"POST","path":"/Users","data":1}]}`, Options{}, "data must be an object"},
		"bad method":     {`{"Operations":[{"method":1,"path":"/Users","data":1}]}`, Options{}, "method must be a string"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := OpenReader(strings.NewReader(tc.text), tc.opt)
			if err == nil {
				defer f.Close()
				_, err = all(f, mustMapping(t, smallMapping))
			}
			var input *InputError
			if !errors.As(err, &input) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestOpenPath(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	for path, want := range map[string]string{filepath.Join(dir, "none.csv"): "no such file", dir: "is a directory"} {
		if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	path := filepath.Join(dir, "people.csv")
	os.WriteFile(path, []byte("id,user,on\n7,a,\n"), 0o600)
	f, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	sum, err := f.Fingerprint()
	if want := fmt.Sprintf("%x", sha256.Sum256([]byte("id,user,on\n7,a,\n"))); err != nil || sum != want {
		t.Errorf("%s %v, want %s", sum, err, want)
	}
	if _, err := f.Records(nil); err == nil || !strings.Contains(err.Error(), "needs a mapping") {
		t.Errorf("without mapping: %v", err)
	}
	f.Close()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("Close removed a file that is not its own: %v", err)
	}

	spooled, err := OpenReader(strings.NewReader("id\n7\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if mode := spooled.src.info.Mode(); mode.Perm() != 0o600 {
		t.Errorf("spooled with %v", mode)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "induct-*")); len(left) > 0 && runtime.GOOS != "windows" {
		t.Errorf("a process that is killed would leave %q", left)
	}
	if _, err := spooled.Records(mustMapping(t, `{"attributes":{"externalId":"id"}}`)); err != nil {
		t.Fatal(err)
	}
	spooled.Close()
	if left, _ := filepath.Glob(filepath.Join(dir, "induct-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestStandardInput holds that "-" can be read more than once, and is removed in the end.
func TestStandardInput(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	path := filepath.Join(t.TempDir(), "in")
	os.WriteFile(path, []byte("id,user,on\n7,a,\n8,b,\n"), 0o600)
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer func(old *os.File) { os.Stdin = old }(os.Stdin)
	os.Stdin = in
	f, err := Open("-", Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		src, err := f.Records(mustMapping(t, smallMapping))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := Count(src); n != 2 || err != nil {
			t.Errorf("%d records, %v", n, err)
		}
	}
	if f.IsSCIM() {
		t.Error("a table is no SCIM")
	}
	f.Close()
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := OpenReader(iotest.ErrReader(errors.New("unplugged")), Options{}); err == nil || !strings.Contains(err.Error(), "unplugged") {
		t.Errorf("broken input: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOperationsPassOn(t *testing.T) {
	f := open(t, `{"schemas":[],"Operations":[
		{"method":"delete","path":"/Users/7","bulkId":"x"},
		{"METHOD":"PUT","Path":"/Users/8","data":{"externalId": 8 , "a":"<&>"},"version":"1"},
		{"method":"POST","path":"Users","bulkId":"y","data":{"urn:ietf:params:scim:schemas:core:2.0:User":{"externalId":"9"}}}]}`, Options{})
	got, err := all(f, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"method":"DELETE","bulkId":"x","path":"/Users/7"}`,
		`{"method":"PUT","bulkId":"record-2","path":"/Users/8","data":{"externalId":8,"a":"<&>"}}`,
		`{"method":"POST","bulkId":"y","path":"/Users","data":{"urn:ietf:params:scim:schemas:core:2.0:User":{"externalId":"9"}}}`,
	}
	anchors := []string{"", "8", "9"}
	for i, r := range got {
		if string(r.operation()) != want[i] || r.Anchor != anchors[i] || r.Line != i+1 {
			t.Errorf("%s\nanchor %q, line %d, want\n%s", r.operation(), r.Anchor, r.Line, want[i])
		}
	}
}

// TestJSONTypes holds that scalars keep their type where the schema leaves it open, and become strings where it does not.
func TestJSONTypes(t *testing.T) {
	f := open(t, `[{"id":7,"on":true,"n":12.50,"s":"x","z":null,"e":{"m":[{"v":"a@x.example"}]}}]`, Options{})
	m := mustMapping(t, `{"attributes":{"externalId":"id","active":"on","title":"n","userType":"on","nickName":{"column":"z","empty":"null"},
		"emails[type eq \"work\"].value":"e.m[0].v","emails[type eq \"work\"].primary":"on",
		"urn:x:y:n":"n","urn:x:y:b":"on","urn:x:y:s":{"column":"n","type":"string"},"urn:x:y:i":{"column":"id","type":"integer"},
		"displayName":{"columns":["s","z","id"],"separator":"/"}}}`)
	got, err := all(f, m)
	if err != nil {
		t.Fatal(err)
	}
	want := `"externalId":"7","active":true,"title":"12.50","userType":"true","nickName":null,"emails":[{"type":"work","value":"a@x.example","primary":true}],` +
		`"urn:x:y":{"n":12.50,"b":true,"s":"12.50","i":7},"displayName":"x/7"}`
	if _, data, _ := strings.Cut(string(got[0].Data), "],"); data != want {
		t.Errorf("got\n%s\nwant\n%s", data, want)
	}
}

func TestMappingTypes(t *testing.T) {
	const mapping = `{"attributes":{"externalId":"id","active":{"column":"on","type":"boolean"},"urn:x:y:i":{"column":"n","type":"integer"}}}`
	for row, want := range map[string]string{
		"7,yes,012": "urn:x:y:i: \"012\" is not an integer",
		"7,maybe,1": "active: \"maybe\" is neither true nor false",
		"7,NO,-5":   `"externalId":"7","active":false,"urn:x:y":{"i":-5}}`,
		"7,1,":      `"externalId":"7","active":true}`,
	} {
		got, err := all(open(t, "id,on,n\n"+row+"\n", Options{}), mustMapping(t, mapping))
		text := ""
		if err != nil {
			text = err.Error()
		} else {
			_, text, _ = strings.Cut(string(got[0].Data), "],")
		}
		if !strings.HasSuffix(text, want) && !strings.Contains(text, want) {
			t.Errorf("%s: got %s, want %s", row, text, want)
		}
	}
}

func TestWriteFailed(t *testing.T) {
	of := func(failed ...int) func(int) (Failure, bool) {
		return func(line int) (Failure, bool) {
			return Failure{Line: line, Anchor: "a", End: "failed", Code: "InvalidValue", Attribute: "mail", Reason: "=1+1\nis wrong", Advice: "-correct it"},
				slices.Contains(failed, line)
		}
	}
	const user = `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"8"}`
	for name, tc := range map[string]struct {
		text    string
		mapping string
		fail    int
		want    string
	}{
		"csv": {"\ufeffid;user;on\n7;a;\n8;\"=b\n;\";x\n9;c;\n", smallMapping, 3,
			"\ufeffid;user;on;induct.line;induct.code;induct.attribute;induct.reason;induct.advice\n8;\"=b\n;\";x;3;InvalidValue;mail;'=1+1 is wrong;'-correct it\n"},
		"wrong row": {"id,user,on\n7,a\n8,b,\n", smallMapping, 3,
			"id,user,on,induct.line,induct.code,induct.attribute,induct.reason,induct.advice\n8,b,,3,InvalidValue,mail,'=1+1 is wrong,'-correct it\n"},
		"csv 1252": {"id,user,on\n7,a,\n8,J\xf6rg,\n", smallMapping, 3,
			"\ufeffid,user,on,induct.line,induct.code,induct.attribute,induct.reason,induct.advice\n8,Jörg,,3,InvalidValue,mail,'=1+1 is wrong,'-correct it\n"},
		"csv again": {"id,induct.line,user,induct.reason,on\n7,1,a,old,\n8,2,b,old,x\n", smallMapping, 3,
			"id,user,on,induct.line,induct.code,induct.attribute,induct.reason,induct.advice\n8,b,x,3,InvalidValue,mail,'=1+1 is wrong,'-correct it\n"},
		"json": {`[{"id":"7"},{"id":"8","user":"<b>"}]`, smallMapping, 2,
			`{"induct":{"line":2,"externalId":"a","end":"failed","code":"InvalidValue","attribute":"mail","reason":"=1+1\nis wrong","advice":"-correct it"},"data":{"id":"8","user":"<b>"}}` + "\n"},
		"users": {"[" + user + "]", "", 1,
			`{"induct":{"line":1,"externalId":"a","end":"failed","code":"InvalidValue","attribute":"mail","reason":"=1+1\nis wrong","advice":"-correct it"},"data":` + user + `}` + "\n"},
		"bulk": {`{"Operations":[{"method":"PUT","path":"/Users/8","bulkId":"q","data":` + user + `}]}`, "", 1,
			`{"induct":{"line":1,"externalId":"a","end":"failed","code":"InvalidValue","attribute":"mail","reason":"=1+1\nis wrong","advice":"-correct it"},` +
				`"method":"PUT","path":"/Users/8","bulkId":"q","data":` + user + `}` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f := open(t, tc.text, Options{})
			var b bytes.Buffer
			n, err := f.WriteFailed(&b, of(tc.fail))
			if err != nil || n != 1 || b.String() != tc.want {
				t.Fatalf("%d, %v, got\n%s\nwant\n%s", n, err, b.String(), tc.want)
			}
			var m *Mapping
			if tc.mapping != "" {
				m = mustMapping(t, tc.mapping)
			}
			before, err := all(f, m)
			if name == "wrong row" {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(before, func(r Record) bool { return r.Line == tc.fail })
			after, err := all(open(t, b.String(), Options{}), m)
			if err != nil || len(after) != 1 {
				t.Fatalf("again: %d records, %v", len(after), err)
			}
			if !bytes.Equal(after[0].Data, before[i].Data) || after[0].Method != before[i].Method {
				t.Errorf("again: %+v, before: %+v", after[0], before[i])
			}
		})
	}
}

// TestFormatsAgree holds that the same people are the same records, whatever file they come in.
func TestFormatsAgree(t *testing.T) {
	rows, err := csv.NewReader(bytes.NewReader(workforce.CSV)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	x := excelize.NewFile()
	var lines, array bytes.Buffer
	var utf16 bytes.Buffer
	w := csv.NewWriter(transform.NewWriter(&utf16, unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder()))
	w.Comma = '|'
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	enc := json.NewEncoder(&lines)
	for i, row := range rows {
		at, _ := excelize.CoordinatesToCellName(1, i+1)
		x.SetSheetRow("Sheet1", at, &row)
		if i == 0 {
			continue
		}
		person := map[string]string{}
		for j, c := range row {
			person[rows[0][j]] = c
		}
		enc.Encode(person)
	}
	fmt.Fprintf(&array, `{"count": 7, "people": [%s]}`, bytes.ReplaceAll(bytes.TrimSpace(lines.Bytes()), []byte("\n"), []byte(",\n")))

	m := mustMapping(t, string(workforce.Mapping))
	want, err := all(open(t, string(workforce.CSV), Options{}), m)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"excel": save(t, x), "json": array.Bytes(), "jsonl": lines.Bytes(), "utf-16 with bars": utf16.Bytes()} {
		got, err := all(open(t, string(data), Options{}), m)
		if err != nil {
			t.Fatal(name, err)
		}
		if !slices.EqualFunc(got, want, func(a, b Record) bool { return a.Anchor == b.Anchor && bytes.Equal(a.Data, b.Data) }) {
			t.Errorf("%s gives other records than the CSV", name)
		}
	}
	ready := BulkRequest(want)
	got, err := all(open(t, string(ready), Options{}), nil)
	if err != nil || !slices.EqualFunc(got, want, func(a, b Record) bool {
		return a.Anchor == b.Anchor && a.BulkID == b.BulkID && bytes.Equal(a.Data, b.Data)
	}) {
		t.Errorf("a bulk request of %d gives %d other records, %v", len(want), len(got), err)
	}
}
