package sqlstore

import (
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"induct/internal/mapping"
	"induct/internal/provision"
)

func FuzzOperations(f *testing.F) {
	f.Add([]byte{}, "b", "a", []byte(`{}`), false)
	f.Add([]byte{operationsV1, 0xff, 0xff, 0xff, 0xff, 0x0f}, "", "", []byte(nil), true) // says that it unpacks to 4 GiB
	f.Add(append([]byte{operationsV1}, s2.Encode(nil, []byte{0xff, 0xff, 0xff, 0xff, 0x0f})...), "ü", "\x00", []byte("x"), true)
	f.Fuzz(func(t *testing.T, stored []byte, bulkID, anchor string, data []byte, del bool) {
		if _, err := decodeOperations(stored); err != nil && !errors.Is(err, errCorrupt) {
			t.Errorf("error is %v", err)
		}
		if len(data) == 0 {
			data = nil
		}
		ops := []provision.Operation{{BulkID: bulkID, Anchor: anchor, Data: data, Delete: del}, {Anchor: bulkID}}
		got, err := decodeOperations(encodeOperations(ops))
		for i := range got {
			if len(got[i].Data) == 0 {
				got[i].Data = nil
			}
		}
		if err != nil || !reflect.DeepEqual(got, ops) {
			t.Errorf("%+v, %v, want %+v", got, err, ops)
		}
	})
}

// decodeEntries reads a block whole.
func decodeEntries(zip *compressor, first int64, b []byte) (entries []provision.LogEntry, err error) {
	block, err := zip.open(first, b)
	if err != nil {
		return nil, err
	}
	for i := range block.entries {
		head, err := block.head(i)
		if err != nil {
			return nil, err
		}
		e, err := block.entry(head)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func FuzzEntries(f *testing.F) {
	zip, err := newCompressor()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, "a", "b", int64(1), uint16(0x1234))
	f.Add([]byte{1, 1, 1, 1, 1, 1, 1, 1, 0, 0xff, 0xff}, "", "ü", int64(math.MinInt64), uint16(0xffff))
	f.Fuzz(func(t *testing.T, content []byte, x, y string, n int64, bits uint16) {
		// The bytes as they are, and as the content of a block that unpacks.
		for _, b := range [][]byte{content, append([]byte{entriesV1}, content...), zip.w.EncodeAll(content, []byte{entriesV1})} {
			entries, err := decodeEntries(zip, 1, b)
			if err != nil && !errors.Is(err, errCorrupt) {
				t.Errorf("error is %v", err)
			}
			for i := range entries {
				_ = entries[i].Action.String() + entries[i].Status.String()
			}
		}
		at := time.UnixMicro(1_772_366_400_123_456).UTC()
		want := []provision.LogEntry{
			{Seq: 5, JobPK: n, Time: at, Cycle: n, Upload: n, Index: int(bits), BulkID: x, Hidden: bits&1 != 0, Ref: bits&2 != 0, Matched: bits&4 != 0,
				Action: provision.Action(bits >> 3 % 6), Status: provision.Status(bits >> 6 & 3), End: endOf(uint64(bits>>8) % uint64(len(provision.Ends)+1)),
				Code: x, Reason: y, Advice: x, Attribute: y, Anchor: x, Name: y, ObjectID: x, ObjectName: y, Duration: time.Duration(n)},
			{Seq: 6, JobPK: n, Time: at.Add(time.Microsecond), Cycle: n, Upload: 1, Source: []mapping.Imported{{Name: x, Value: y}},
				Modified: []provision.Modification{{Attribute: x, Old: &x}, {Attribute: y, New: &y}}, Warnings: []string{x, y}},
		}
		got, err := decodeEntries(zip, 5, zip.encodeEntries(want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	})
}

func FuzzKept(f *testing.F) {
	f.Add([]byte(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"7"}`))
	f.Add([]byte{keptV1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := unpackKept(data); err != nil && !errors.Is(err, errCorrupt) {
			t.Errorf("error is %v", err)
		}
		got, err := unpackKept(packKept(data))
		if err != nil || string(got) != string(data) {
			t.Errorf("%q, %v, want %q", got, err, data)
		}
	})
}

// Half of a small record is names that all have.
func TestKeptIsSmallerWithTheDictionary(t *testing.T) {
	record := []byte(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"phoneNumbers":[{"value":"+49 5551234","type":"work"}],"externalId":"4711","name":{"familyName":"Quist","givenName":"Ada"},"userName":"ada@lindqvist.example","active":true,"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"Research","manager":{"value":"12"}}}`)
	if with, without := len(packKept(record)), len(s2.Encode(nil, record)); with > without*2/3 {
		t.Errorf("%d bytes with the dictionary, %d without", with, without)
	}
}
