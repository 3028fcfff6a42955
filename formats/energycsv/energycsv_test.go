package energycsv

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/passerelle-cloud/passerelle/formats"
)

func record(id, body string) formats.Record {
	return formats.Record{ID: id, Dataset: formats.Energy, Kind: formats.KindReading, Body: json.RawMessage(body)}
}

func stream(records ...formats.Record) formats.Records {
	return func(yield func(formats.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// tester is what both the tests and the property tests have.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func written(t tester, records ...formats.Record) string {
	t.Helper()
	var out bytes.Buffer
	if err := Codec().Encode(&out, stream(records...)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func readAll(t tester, text string) []formats.Record {
	t.Helper()
	var all []formats.Record
	for r, err := range Codec().Decode(strings.NewReader(text)) {
		if err != nil {
			t.Fatalf("%.300q: %v", text, err)
		}
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// same compares JSON: members in any order, numbers by their digits.
func same(a, b json.RawMessage) bool {
	var values [2]any
	for i, raw := range []json.RawMessage{a, b} {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if dec.Decode(&values[i]) != nil {
			return false
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}

func checkSame(t tester, got, want []formats.Record) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].ID != want[i].ID || !same(got[i].Body, want[i].Body) {
			t.Errorf("got  %q %s\nwant %q %s", got[i].ID, got[i].Body, want[i].ID, want[i].Body)
		}
	}
}

const plain = `{"provider":"enedis","commodity":"electricity","unit":"kWh","start":"2024-03-01T00:00:00","interval":"P1D","value":"7.250"}`

func TestWrite(t *testing.T) {
	got := written(t, record("a", plain), record("=b", `{"commodity":"gas","unit":"m3","start":"2024","interval":"P1M","value":"-0.10"}`),
		record("skipped", `[]`), formats.Record{ID: "d", Dataset: formats.Energy, Kind: formats.KindDocument, Body: json.RawMessage(`{}`)})
	want := "id,provider,commodity,unit,start,interval,value\r\na,enedis,electricity,kWh,2024-03-01T00:00:00,P1D,7.250\r\n'=b,,gas,m3,2024,P1M,-0.10\r\n"
	if got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	if written(t) != "" || len(readAll(t, "")) != 0 {
		t.Error("no readings do not give an empty file")
	}
}

func TestRoundTrip(t *testing.T) {
	records := []formats.Record{record("a", plain)}
	for i, body := range []string{
		`{"provider":"","commodity":null,"unit":1,"start":[],"interval":{"a":"b"},"value":7.250}`,
		`{"value":"1e21","more":9007199254740993}`, `{"value":"7,25"}`, `{"value":""}`, `{"value":"-"}`, `{}`,
		`{"provider":"=1+1","commodity":"'","unit":"''x","start":"\t","interval":"\r\n","value":"-12.5"}`,
		`{"provider":"a\r\nb\rc\nd","commodity":"\"","unit":"\",\"","start":";","interval":"@x\r","value":"0"}`,
		`{"provider":"+33","commodity":"-1","unit":"-x","start":"\u0000","interval":" a ","value":"0.10","passerelle":"{}","a/b~c":null}`,
		`{"commodity":"<é\u2028🦊>","unit":"\ufeff","start":"","interval":"","value":"1","nested":{"z":[],"a":{"n":0.10}}}`,
	} {
		id := string(rune('a'+i)) + "=,\"'"
		records = append(records, record(id, body), record("'"+id, body), record("-"+id, body), record("-1"+id[:i%2], body))
	}
	checkSame(t, readAll(t, written(t, records...)), records)
}

// TestNoFormula: no cell of the file begins a formula.
func TestNoFormula(t *testing.T) {
	for _, text := range []string{"=1", "+1+1", "-1+1", "@x", "\t=1", "\r=1", "\n=1", "'=1"} {
		got := written(t, record(strings.Trim(text, "\t\r\n")+"x", `{"provider":`+string(formats.AppendString(nil, text))+`,"value":"1"}`))
		for _, row := range headRows([]byte(got), ',', true)[1:] {
			for _, cell := range row {
				if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
					t.Errorf("%q has the cell %q", text, cell)
				}
			}
		}
	}
}

// TestSpreadsheet: a spreadsheet saved the table with other separators, order, quotes and line ends.
func TestSpreadsheet(t *testing.T) {
	want := []formats.Record{record("a", plain)}
	for name, text := range map[string]string{
		"semicolons":      "\ufeffid;provider;commodity;unit;start;interval;value\na;enedis;electricity;kWh;2024-03-01T00:00:00;P1D;7,250\n;;;;;;\n",
		"tabs":            "id\tprovider\tcommodity\tunit\tstart\tinterval\tvalue\r\na\tenedis\telectricity\tkWh\t2024-03-01T00:00:00\tP1D\t7.250",
		"order":           "value,ID , note,interval,start,unit,commodity,provider\n7.250,a,mine,P1D,2024-03-01T00:00:00,kWh,electricity,enedis\n\n",
		"every cell":      `"id","provider","commodity","unit","start","interval","value"` + "\n" + `"a","enedis","electricity","kWh","2024-03-01T00:00:00","P1D","7.250"`,
		"title above":     "Mes relevés,,,,,,\n\nid,provider,commodity,unit,start,interval,value\na,enedis,electricity,kWh,2024-03-01T00:00:00,P1D,7.250\n",
		"text in quotes":  "id,provider,commodity,unit,start,interval,value\n\"a\"\"\",ene\"dis\"x,c,u,s,i,1\n",
		"no id, twice":    "id,provider,commodity,unit,start,interval,value\n,p,c,u,s,i,1\n",
		"UTF-16":          utf16Text("id\tprovider\tcommodity\tunit\tstart\tinterval\tvalue\r\na\té\tc\tu\ts\ti\t1 234,5"),
		"Windows-1252":    "id;provider;commodity;unit;start;interval;value\na;\xe9;c;u;s;i;1\xa0234,5\n",
		"trailing commas": "id,provider,commodity,unit,start,interval,value,,\na,enedis,electricity,kWh,2024-03-01T00:00:00,P1D,7.250,,\n",
	} {
		t.Run(name, func(t *testing.T) {
			want := want
			switch name {
			case "text in quotes":
				want = []formats.Record{record(`a"`, `{"provider":"ene\"dis\"x","commodity":"c","unit":"u","start":"s","interval":"i","value":"1"}`)}
			case "no id, twice":
				want = []formats.Record{record(hashID([]string{"", "p", "c", "u", "s", "i", "1"}), `{"provider":"p","commodity":"c","unit":"u","start":"s","interval":"i","value":"1"}`)}
			case "UTF-16", "Windows-1252":
				want = []formats.Record{record("a", `{"provider":"é","commodity":"c","unit":"u","start":"s","interval":"i","value":"1234.5"}`)}
			}
			checkSame(t, readAll(t, text), want)
		})
	}
}

func utf16Text(s string) string {
	out := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		out = append(out, byte(u), byte(u>>8))
	}
	return string(out)
}

func TestNumber(t *testing.T) {
	for cell, want := range map[string]string{
		"1": "1", "-0.10": "-0.10", "0,10": "0.10", "1 234,5": "1234.5", "1.234,50": "1234.50", "1,234.50": "1234.50", "1\u202f000": "1000",
		"9007199254740993,01": "9007199254740993.01", "1e3": "1000", "+5": "5", "": "", "x": "", "1,2,3": "", "1.2.3": "", "0x1F": "", "NaN": "",
	} {
		if got, err := number(cell); string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", cell, got, err)
		}
	}
}

const header = "id,provider,commodity,unit,start,interval,value,passerelle\n"

func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"a,b\n1,2\n", "no header"}, {"\x00\x01", "no header"}, {"{}", "no header"},
		{header + "a,p,c,u,s,i,x,\n", "line 2"}, {header + "\n\na,p,c,u,s,i,,\n", "line 4"}, {header + "a,\"\n\n\",c,u,s,i,1\nb,p,c,u,s,i,z", "line 5"},
		{header + "a,p,c,u,s,i,1,{\n", "passerelle"}, {header + "a,p,c,u,s,i,1,null\n", "passerelle"}, {header + `a,"p,c,u,s,i,1`, "never closed"},
		{header + strings.Repeat("a,p,c,u,s,i,1,\n", 6000) + "\xff,p,c,u,s,i,1,\n", "line 6002: it is not UTF-8"},
		{header + "a," + strings.Repeat("x", maxRow+1), "more than"},
		{"Horodate;Valeur\nx;1\n", "line 2"}, {"Date;Valeur (kWh)\n01/01/2024;x\n", "line 2"}, {"Date;Valeur (kWh)\n01/01/2024 10:00;1\n", "how long"},
		{strings.Repeat("x", maxAbove) + "\nHorodate;Valeur\n2026-01-05T00:30:00+01:00;1\n", "no header"},
		{"<html></html>", "no Green Button"}, {"<feed", "line 1"}, {"<feed><IntervalReading><value>1</value></IntervalReading></feed>", "no ReadingType"},
	} {
		var err error
		for _, e := range Codec().Decode(strings.NewReader(c.text)) {
			err = e
		}
		if !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: got %v, want %q", c.text, err, c.want)
		}
	}
	broken := errors.New("cable")
	for _, err := range Codec().Decode(iotest.ErrReader(broken)) {
		if !errors.Is(err, broken) || errors.Is(err, formats.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	}
	if err := Codec().Encode(&bytes.Buffer{}, stream(record("bad", `{`))); !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), `"bad"`) {
		t.Errorf("got %v", err)
	}
	failed := func(yield func(formats.Record, error) bool) { yield(formats.Record{}, broken) }
	if err := Codec().Encode(&bytes.Buffer{}, failed); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := Codec().Encode(brokenWriter{}, stream(record("a", plain))); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

var errBroken = errors.New("disk full")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

// TestTooLarge: a body that no row can hold costs itself, not the file.
func TestTooLarge(t *testing.T) {
	large := record("large", `{"x":"`+strings.Repeat(`\"`, maxRow/4)+`"}`)
	checkSame(t, readAll(t, written(t, large, record("a", plain))), []formats.Record{record("a", plain)})
	fits := record("fits", `{"x":"`+strings.Repeat("x", maxRow/2-20)+`"}`)
	checkSame(t, readAll(t, written(t, fits)), []formats.Record{fits})
}

func TestTwice(t *testing.T) {
	text := written(t, record("a", plain), record("b", plain))
	for _, in := range []interface{ Read([]byte) (int, error) }{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
		records := Codec().Decode(in)
		for range 2 {
			for r, err := range records {
				if err != nil || r.ID != "a" {
					t.Errorf("%s %v", r.ID, err)
				}
				break
			}
		}
	}
}
