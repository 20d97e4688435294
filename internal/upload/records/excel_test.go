package records

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xuri/excelize/v2"
)

// save returns a workbook's bytes.
func save(t testing.TB, x *excelize.File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := x.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sheetCells(t *testing.T, f *File) (cells [][]string, lines []int) {
	t.Helper()
	tab, err := f.table()
	if err != nil {
		t.Fatal(err)
	}
	cells, lines = [][]string{tab.header()}, []int{0}
	for {
		row, line, err := tab.Next()
		if err == io.EOF {
			return cells, lines
		}
		if err != nil {
			t.Fatal(err)
		}
		cells, lines = append(cells, slices.Clone(row)), append(lines, line)
	}
}

// TestExcelCells reads what another library wrote.
func TestExcelCells(t *testing.T) {
	x := excelize.NewFile()
	style := func(code string) int {
		id, err := x.NewStyle(&excelize.Style{CustomNumFmt: &code})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	builtin := func(n int) int {
		id, err := x.NewStyle(&excelize.Style{NumFmt: n})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	day := time.Date(2024, 2, 29, 15, 4, 5, 0, time.UTC)
	cases := []struct {
		value any
		style int
		want  string
	}{
		{"text ", 0, "text "},
		{"00123", 0, "00123"},
		{"1E5", 0, "1E5"},
		{123, 0, "123"},
		{123, style("00000"), "00123"},
		{123, style(`"E-"0000`), "E-0123"},
		{123456789, style("000-00-0000"), "123-45-6789"},
		{1234567, style(`\0-000`), "0-1234567"},
		{-12, style("0000"), "-0012"},
		{12345.0, 0, "12345"},
		{12345678.0, 0, "12345678"},
		{123456789012.0, 0, "123456789012"},
		{12345.0, builtin(11), "12345"},
		{12345.0, style("#,##0"), "12345"},
		{12345.0, style("0.00"), "12345"},
		{0.1 + 0.2, 0, "0.3"},
		{0.5, builtin(9), "0.5"},
		{true, 0, "TRUE"},
		{false, 0, "FALSE"},
		{day, builtin(14), "2024-02-29"},
		{day, builtin(22), "2024-02-29T15:04:05"},
		{day, style("dd.mm.yyyy"), "2024-02-29"},
		{day, style(`[$-407]d. mmmm yyyy;@`), "2024-02-29"},
		{day, style(`yyyy"-W"mm hh:mm`), "2024-02-29T15:04:05"},
		{0.25, style("h:mm AM/PM"), "06:00:00"},
		{1.5, style("[h]:mm"), "1.5"},
		{45000, style(`[Red]0 "days"`), "45000 days"},
		{1, builtin(14), "1900-01-01"},
		{61, builtin(14), "1900-03-01"},
		{-1, builtin(14), "-1"},
		{nil, 0, ""},
	}
	for i, c := range cases {
		name, _ := excelize.CoordinatesToCellName(i+1, 1)
		x.SetCellValue("Sheet1", name, fmt.Sprint("c", i))
		name, _ = excelize.CoordinatesToCellName(i+1, 3)
		if c.value != nil {
			x.SetCellValue("Sheet1", name, c.value)
		}
		if c.style != 0 {
			x.SetCellStyle("Sheet1", name, name, c.style)
		}
	}
	f := open(t, string(save(t, x)), Options{})
	got, lines := sheetCells(t, f)
	if len(got) != 2 || lines[1] != 3 {
		t.Fatalf("%d rows at %v", len(got), lines)
	}
	for i, c := range cases {
		if got[1][i] != c.want {
			t.Errorf("%d: %v is %q, want %q", i, c.value, got[1][i], c.want)
		}
	}
}

func TestUnescapeText(t *testing.T) {
	for in, want := range map[string]string{
		"a_x000D_b": "a\rb", "_x005F_x0041_": "_x0041_", "_x41_ _xZZZZ_ _xD800_ _x": "_x41_ _xZZZZ_ _xD800_ _x", "_x0041": "_x0041", "plain": "plain",
	} {
		if got := unescapeText(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestNumberFormat(t *testing.T) {
	date, clock := numberFormat{date: true}, numberFormat{clock: true}
	for _, tc := range []struct {
		format numberFormat
		value  string
		epoch  int
		want   string
	}{
		{numberFormat{}, "1.2345678E7", 1900, "12345678"},
		{numberFormat{}, "1.2345678901234568E+17", 1900, "123456789012345680"},
		{numberFormat{}, "12345678901234567890", 1900, "12345678901234567890"},
		{numberFormat{}, "12345.0", 1900, "12345"},
		{numberFormat{}, "007", 1900, "7"},
		{numberFormat{}, "0.30000000000000004", 1900, "0.3"},
		{numberFormat{}, "1e400", 1900, "1e400"},
		{numberFormat{}, "NaN", 1900, "NaN"},
		{numberFormat{}, "", 1900, ""},
		{date, "0", 1904, "1904-01-01"},
		{date, "59", 1900, "1900-02-28"},
		{date, "61", 1900, "1900-03-01"},
		{date, "45000.99999999", 1900, "2023-03-16"}, // a second before midnight, rounded
		{date, "2958465", 1900, "9999-12-31"},
		{date, "2958466", 1900, "2958466"},
		{clock, "0.999", 1900, "23:58:34"},
		{numberFormat{date: true, clock: true}, "45000.5", 1900, "2023-03-15T12:00:00"},
		{parseFormat("000"), "1234", 1900, "1234"},
		{parseFormat("#-##0"), "7", 1900, "-7"},
		{parseFormat("00"), "1.5", 1900, "1.5"},
		{parseFormat("0.0"), "7", 1900, "7"},
		{parseFormat("0%"), "0.07", 1900, "0.07"},
		{parseFormat(`[$€-407] 00`), "7", 1900, "7"},
		{parseFormat(`"open`), "7", 1900, "7"},
		{parseFormat(`"hidden"`), "7", 1900, "7"},
		{parseFormat(`[open`), "7", 1900, "7"},
		{parseFormat("GENERAL"), "7", 1900, "7"},
		{parseFormat("@"), "7", 1900, "7"},
		{parseFormat("mmm"), "45000", 1900, "2023-03-15"},
		{parseFormat("mm:ss"), "0.5", 1900, "12:00:00"},
		{parseFormat("0.00E+00"), "12345", 1900, "12345"},
		{builtinFormat(49), "7", 1900, "7"},
	} {
		if got := tc.format.show(tc.value, tc.epoch); got != tc.want {
			t.Errorf("%+v: %q is %q, want %q", tc.format, tc.value, got, tc.want)
		}
	}
}

func TestExcelRows(t *testing.T) {
	x := excelize.NewFile()
	x.NewSheet("People")
	x.SetSheetRow("Sheet1", "A1", &[]string{"nothing"})
	for cell, row := range map[string][]any{"A3": {" id ", "user", "on"}, "A4": {7, "a"}, "A6": {"8", "", false}, "A8": {"  "}} {
		x.SetSheetRow("People", cell, &row)
	}
	x.MergeCell("People", "A6", "B6")
	x.SetCellFormula("People", "A9", "1+1")
	data := save(t, x)
	f := open(t, string(data), Options{Sheet: "people"})
	if got := f.Columns(); !slices.Equal(got, []string{"id", "user", "on"}) {
		t.Errorf("columns %q", got)
	}
	got, err := all(f, mustMapping(t, smallMapping))
	want := "row 9: externalId: the cell A9 holds a formula without its result"
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if len(got) != 2 || got[0].Line != 4 || got[0].Anchor != "7" || got[1].BulkID != "row-6" || !strings.HasSuffix(string(got[1].Data), `"externalId":"8","active":false}`) {
		t.Errorf("%+v", got)
	}
	var b bytes.Buffer
	if n, err := f.WriteFailed(&b, func(line int) (Failure, bool) { return Failure{Line: line, Reason: "r"}, line == 6 }); n != 1 || err != nil ||
		b.String() != "\ufeffid,user,on,induct.line,induct.code,induct.attribute,induct.reason,induct.advice\n8,,FALSE,6,,,r,\n" {
		t.Errorf("%d %v %q", n, err, b.String())
	}
	if _, err := OpenReader(bytes.NewReader(data), Options{Sheet: "Peeple"}); err == nil || !strings.Contains(err.Error(), `did you mean "People"?`) {
		t.Errorf("wrong sheet: %v", err)
	}
}

// parts returns the parts of a small workbook; the sheet's rows are given.
func parts(rows string) map[string]string {
	const rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	return map[string]string{
		"xl/workbook.xml": `<workbook xmlns:r="` + rel + `"><sheets><sheet name="P" r:id="r1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="r1" Type="` + rel + `/worksheet" Target="worksheets/s.xml"/>` +
			`<Relationship Id="r2" Type="` + rel + `/sharedStrings" Target="/xl/sharedStrings.xml"/></Relationships>`,
		"xl/sharedStrings.xml": `<sst><si><t>id</t></si><si><r><t>a</t></r><rPh><t>zz</t></rPh><r><t xml:space="preserve"> b</t></r></si></sst>`,
		"xl/worksheets/s.xml":  `<worksheet><sheetData><row r="1"><c t="s"><v>0</v></c></row>` + rows + `</sheetData></worksheet>`,
	}
}

func pack(t testing.TB, parts map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		p, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(p, parts[name])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestExcelHostile(t *testing.T) {
	with := func(name, text string) []byte {
		p := parts("")
		p[name] = text
		if text == "" {
			delete(p, name)
		}
		return pack(t, p)
	}
	rows := func(rows string) []byte { return pack(t, parts(rows)) }
	good := rows(`<row><c t="s"><v>1</v></c></row><row r="9"><c r="A9" t="inlineStr"><is><t>x</t></is></c></row>`)
	flipped := slices.Clone(good)
	flipped[bytes.LastIndex(flipped, []byte("PK\x07\x08"))+4] ^= 1 // the checksum of the last part
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"good":             {good, ""},
		"cut":              {good[:len(good)-30], "damaged or cut off"},
		"no workbook":      {pack(t, map[string]string{"a.txt": "x"}), "a zip archive and no Excel workbook"},
		"binary":           {pack(t, map[string]string{"xl/workbook.bin": "x"}), ".xlsb"},
		"opendocument":     {pack(t, map[string]string{"content.xml": "x"}), "OpenDocument"},
		"no relations":     {with("xl/_rels/workbook.xml.rels", ""), "a part is missing"},
		"no sheet":         {with("xl/worksheets/s.xml", ""), "its sheet is missing"},
		"no texts":         {with("xl/sharedStrings.xml", ""), "shared strings are missing"},
		"broken texts":     {with("xl/sharedStrings.xml", "<sst><si><t>id</t></si><si>"), "damaged"},
		"huge part":        {with("xl/workbook.xml", strings.Repeat(" ", maxSmall+1)), "larger than 16 MiB"},
		"empty":            {with("xl/worksheets/s.xml", "<worksheet><sheetData/></worksheet>"), `the sheet "P" is empty`},
		"control":          {rows("<row><c t=\"str\"><v>a\x01</v></c></row>"), "row 2: the sheet \"P\" is damaged"},
		"ends":             {with("xl/worksheets/s.xml", `<worksheet><sheetData><row><c t="s"><v>0</v></c></row><row>`), "damaged after this row"},
		"unknown text":     {rows(`<row><c t="s"><v>77</v></c></row>`), "row 2: the sheet \"P\" is damaged: a cell refers to the text 77"},
		"row far":          {rows(`<row r="2000000000"><c><v>1</v></c></row>`), "more rows than Excel allows"},
		"row back":         {rows(`<row r="1"><c><v>1</v></c></row>`), `one with the number "1"`},
		"column far":       {rows(`<row><c r="ZZZZ2"><v>1</v></c></row>`), `there is a cell "ZZZZ2"`},
		"column back":      {rows(`<row><c r="B2"/><c r="A2"/></row>`), `there is a cell "A2"`},
		"too wide":         {rows(`<row><c><v>1</v></c><c><v>2</v></c></row>`), "row 2: the row has 2 cells, the header has 1; name the column or empty the cell B2"},
		"error":            {rows(`<row><c t="e"><v>#N/A</v></c></row>`), "the cell A2 holds the error #N/A"},
		"long text":        {rows(`<row><c t="str"><v>` + strings.Repeat("x", maxRow+1) + `</v></c></row>`), "longer than 1 MiB"},
		"endless text":     {rows(`<row><c t="str"><v>` + strings.Repeat("x", 10*maxRow) + `</v></c></row>`), "longer than 8 MiB"},
		"entities":         {with("xl/workbook.xml", `<!DOCTYPE x [<!ENTITY a "aaaa">]><workbook>&a;</workbook>`), "damaged"},
		"deep":             {with("xl/worksheets/s.xml", "<worksheet><sheetData>"+strings.Repeat("<a>", 100)), "nest too deep"},
		"deep in a row":    {rows("<row>" + strings.Repeat("<a>", 100)), "nest too deep"},
		"deep texts":       {with("xl/sharedStrings.xml", strings.Repeat("<a>", 100)), "nest too deep"},
		"broken checksum":  {flipped, "damaged"},
		"declared too big": {declare(t, good, maxPart+1), "larger than 2 GiB"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := OpenReader(bytes.NewReader(tc.data), Options{})
			if err == nil {
				defer f.Close()
				var got []Record
				if got, err = all(f, mustMapping(t, `{"attributes":{"externalId":"id"}}`)); err == nil && (len(got) != 2 || got[0].Anchor != "a b" || got[1].Line != 9) {
					t.Errorf("%+v", got)
				}
			}
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// declare rewrites the archive so that its directory gives the sheet a size that it has not.
func declare(t *testing.T, data []byte, size uint64) []byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range r.File {
		h := f.FileHeader
		if strings.HasSuffix(h.Name, "s.xml") && strings.Contains(h.Name, "worksheets") {
			h.UncompressedSize64 = size
		}
		p, err := w.CreateRaw(&h)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := f.OpenRaw()
		io.Copy(p, raw)
	}
	w.Close()
	return b.Bytes()
}
