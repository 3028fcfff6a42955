package energycsv

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/passerelle-cloud/passerelle/formats"
)

func anyText() *rapid.Generator[string] {
	special := rapid.SampledFrom([]string{"", "=", "+", "-", "@", "'", "\t", "\r", "\n", "\r\n", ",", ";", `"`, "1", "-1.5", "0.10", "id", "{}", "\ufeff", "é", "\u2028", "Horodate"})
	return rapid.Map(rapid.SliceOfN(rapid.OneOf(special, rapid.StringN(0, 3, -1)), 0, 4), func(parts []string) string { return strings.Join(parts, "") })
}

func anyBody() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		body := map[string]json.RawMessage{}
		for _, name := range append(columns[1:], "more", "a/b") {
			switch rapid.IntRange(0, 4).Draw(t, name) {
			case 0:
			case 1:
				body[name] = json.RawMessage(rapid.SampledFrom([]string{"null", "0.10", "9007199254740993", `{"a":[1e400]}`, "[]", "true"}).Draw(t, "value"))
			case 2:
				body[name] = formats.AppendString(nil, rapid.StringMatching(`-?[0-9]{1,20}(\.[0-9]{1,5})?`).Draw(t, "number"))
			default:
				body[name] = formats.AppendString(nil, anyText().Draw(t, "text"))
			}
		}
		raw, err := formats.MarshalBody(body)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	})
}

func TestRoundTripOfAnything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var records []formats.Record
		for range rapid.IntRange(1, 4).Draw(rt, "records") {
			r := record(rapid.StringMatching(`[=+@'\-a-z0-9 ,;"é]{1,8}`).Draw(rt, "id"), anyBody().Draw(rt, "body"))
			records = append(records, r)
		}
		checkSame(rt, readAll(rt, written(rt, records...)), records)
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(header + "a,p,c,u,s,i,1,\nb,\"p\"\"\",c,u,s,i,\"1,5\",\"{\"\"x\"\":1}\"\n"))
	f.Add([]byte(enedisFacts + "0;Courbe de charge;05/01/2026;;;;;W;30\nHorodate;Valeur\n2026-01-05T00:30:00+01:00;446\n"))
	f.Add([]byte("Date de d\xe9but;Fin;gaz (m3)\n01/01/2026;02/01/2026;1,5\n"))
	f.Add([]byte("\xff\xfei\x00d\x00"))
	f.Add([]byte(buttonFeed))
	f.Fuzz(func(t *testing.T, text []byte) {
		var records []formats.Record
		for r, err := range Codec().Decode(strings.NewReader(string(text))) {
			if err != nil {
				return
			}
			if _, err := r.AppendLine(nil); err != nil {
				t.Fatal(err)
			}
			records = append(records, r)
		}
		checkSame(t, readAll(t, written(t, records...)), records)
	})
}
