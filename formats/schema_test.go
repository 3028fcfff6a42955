package formats

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"
)

// bodies has, for each kind, one that is right and others that are not.
var bodies = map[Kind][]string{
	KindFile:      {`{"mediaType":"text/plain","tags":["a"],"checksums":{"md5":"00ff"},"new":9007199254740993}`, `{"tags":"a"}`, `{"checksums":{"md5":"zz"}}`, `[]`},
	KindFolder:    {`{}`, `{"favourite":"yes"}`},
	KindVersion:   {`{"tags":[]}`, `{"tags":[1]}`},
	KindNote:      {`{"title":"","markdown":"# a"}`, `{"title":"a"}`},
	KindAlbum:     {`{"name":"Été"}`, `{}`},
	KindCard:      {`{"version":"1.0","name":{"full":"Zoé"},"emails":{"1":{"address":"z@example.org","pref":1}}}`, `{"name":{}}`, `{"version":"1.0","members":{"x":false}}`, `{"version":"1.0","emails":{"1":{"address":"z","pref":0}}}`},
	KindEvent:     {`{"@type":"Event","start":"2026-01-31T10:00:00","duration":"PT1H30M","recurrenceRules":[{"frequency":"weekly","byDay":[{"day":"mo","nthOfPeriod":-1}]}]}`, `{"@type":"Task"}`, `{"@type":"Event","start":"2026-01-31T10:00:00Z"}`, `{"@type":"Event","duration":"1h"}`},
	KindTask:      {`{"@type":"Task","due":"2026-01-31T10:00:00","percentComplete":50}`, `{"@type":"Task","percentComplete":101}`, `{}`},
	KindAccount:   {`{"currency":"EUR","balances":[{"balanceAmount":{"currency":"EUR","amount":"0.10"},"balanceType":"expected"}]}`, `{"currency":"eur"}`, `{"currency":"EUR","balances":[{}]}`},
	KindOperation: {`{"transactionAmount":{"currency":"EUR","amount":"-9007199254740993.10"},"status":"booked"}`, `{"transactionAmount":{"currency":"EUR","amount":1.5}}`, `{"transactionAmount":{"currency":"EUR","amount":"1e3"}}`, `{"transactionAmount":{"currency":"EUR","amount":"1"},"status":"done"}`},
	KindBill:      {`{"issuer":"x","date":"2026-01-31","amount":{"currency":"EUR","amount":"1"}}`, `{"issuer":"x","date":"31/01/2026","amount":{"currency":"EUR","amount":"1"}}`, `{"issuer":"x"}`},
	KindMatch:     {`{"role":"debit","state":"linked","amount":{"currency":"EUR","amount":"1.00"},"rule":"amount","days":-2}`, `{"role":"debit"}`, `{"role":"both","state":"linked"}`, `{"role":"debit","state":"linked","days":1.5}`},
	KindAlert:     {`{"type":"late","state":"open","payer":"insurance","issuer":"x","date":"2026-01-31","due":"2026-02-28","raised":"2026-03-01","paid":{"currency":"EUR","amount":"1"},"missing":{"currency":"EUR","amount":"1"},"advice":"send-proof"}`, `{"type":"late"}`},
	KindReading:   {`{"commodity":"gas","unit":"kWh","start":"2026-01-31T00:00:00","interval":"P1D","value":"0.10"}`, `{"commodity":"oil","unit":"L","start":"2026-01-31T00:00:00","interval":"P1D","value":"1"}`, `{"commodity":"gas","unit":"kWh","start":"2026-01-31","interval":"P1D","value":"1"}`},
	KindFeature:   {`{"type":"Feature","geometry":{"type":"Point","coordinates":[1e21,9007199254740993]},"properties":null}`, `{"type":"Point","coordinates":[1,2]}`, `{"type":"Feature","geometry":{"type":"Point","coordinates":[1]},"properties":null}`, `{"type":"FeatureCollection"}`},
	KindVaultItem: {`{"type":"login"}`, `{}`},
	KindShare:     {`{"type":"link","rules":[{"type":"io.cozy.files"}]}`, `{"type":"link","rules":[{}]}`, `{}`},
	KindSetting:   {`{"anything":1e400}`, `"text"`},
	KindDocument:  {`{"":null}`, `null`},
}

func TestEachKindHasASchema(t *testing.T) {
	names, err := fs.Glob(Schemas(), "*.json")
	if err != nil || len(names) != len(bodies) {
		t.Fatalf("schemas %q, %v; want %d", names, err, len(bodies))
	}
	for kind, cases := range bodies {
		if err := CheckBody(kind, json.RawMessage(cases[0])); err != nil {
			t.Errorf("%s: %v", cases[0], err)
		}
		for _, bad := range cases[1:] {
			if err := CheckBody(kind, json.RawMessage(bad)); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s %s: %v", kind, bad, err)
			}
		}
	}
}

func TestCheckBodyNamesThePlace(t *testing.T) {
	err := CheckBody(KindAccount, json.RawMessage(`{"currency":"EUR","balances":[{"balanceType":"expected","balanceAmount":{"currency":"EUR","amount":"ten"}}]}`))
	if err == nil || !strings.Contains(err.Error(), "/balances/0/balanceAmount/amount") {
		t.Errorf("the error does not name the place: %v", err)
	}
	for _, text := range []string{``, `{`, `{"a":1}x`} {
		if err := CheckBody(KindSetting, json.RawMessage(text)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := CheckBody("unheard-of", json.RawMessage(`{}`)); !errors.Is(err, ErrInvalid) {
		t.Errorf("unknown kind: %v", err)
	}
}
