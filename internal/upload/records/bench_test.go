package records

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"induct/examples/workforce"
)

// people returns the example's rows n times over, its header first.
func people(b *testing.B, n int) [][]string {
	rows, err := csv.NewReader(bytes.NewReader(workforce.CSV)).ReadAll()
	if err != nil {
		b.Fatal(err)
	}
	all := rows[:1]
	for range n {
		all = append(all, rows[1:]...)
	}
	return all
}

// benchmark reads a file to its end, n records in all, again and again.
func benchmark(b *testing.B, data []byte, read func(Source) error) {
	f := open(b, string(data), Options{})
	m := mustMapping(b, string(workforce.Mapping))
	b.ReportAllocs()
	records := 0
	for b.Loop() {
		src, err := f.Records(m)
		if err != nil {
			b.Fatal(err)
		}
		if read != nil {
			err = read(src)
			records += 10060
		} else {
			var n int
			n, err = Count(src)
			records += n
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
}

func csvOf(rows [][]string) []byte {
	var data bytes.Buffer
	csv.NewWriter(&data).WriteAll(rows)
	return data.Bytes()
}

func BenchmarkCSV(b *testing.B) { benchmark(b, csvOf(people(b, 10)), nil) }

func BenchmarkValidate(b *testing.B) {
	benchmark(b, csvOf(people(b, 10)), func(src Source) error {
		_, err := Validate(src, func(Problem) {})
		return err
	})
}

func BenchmarkExcel(b *testing.B) { benchmark(b, excelOf(b, people(b, 10)), nil) }

func excelOf(b *testing.B, rows [][]string) []byte {
	x := excelize.NewFile()
	w, err := x.NewStreamWriter("Sheet1")
	if err != nil {
		b.Fatal(err)
	}
	for i, row := range rows {
		cells := make([]any, len(row))
		for j, c := range row {
			cells[j] = c
		}
		at, _ := excelize.CoordinatesToCellName(1, i+1)
		if err := w.SetRow(at, cells); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	return save(b, x)
}

func BenchmarkJSON(b *testing.B) {
	rows := people(b, 10)
	var data strings.Builder
	enc := json.NewEncoder(&data)
	for _, row := range rows[1:] {
		person := map[string]string{}
		for i, c := range row {
			person[rows[0][i]] = c
		}
		enc.Encode(person)
	}
	benchmark(b, []byte(data.String()), nil)
}
