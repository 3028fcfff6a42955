package example

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// energy makes meter readings: electricity by the day, gas and water by the month.
func (g *generator) energy() {
	end := g.month(g.Months)
	n := 0
	for date := g.month(0); date.Before(end); date = date.AddDate(0, 0, 1) {
		r := g.random("electricity", n)
		load := 4_000 + r.IntN(6_000) + 900*max(0, 6-int(date.Month())%12)
		g.reading("electricity", n, date, formats.EnergyReading{
			Provider: "enedis", Commodity: "electricity", Unit: "kWh", Interval: "P1D", Value: thousandths(load),
		})
		n++
	}
	for m := range g.Months {
		r := g.random("meters", m)
		g.reading("gas", m, g.month(m), formats.EnergyReading{Provider: "grdf", Commodity: "gas", Unit: "kWh", Interval: "P1M", Value: thousandths(90_000 + r.IntN(900_000))})
		g.reading("water", m, g.month(m), formats.EnergyReading{Provider: "egl", Commodity: "water", Unit: "L", Interval: "P1M", Value: formats.Decimal(fmt.Sprint(3_000 + r.IntN(4_000)))})
	}
}

func thousandths(n int) formats.Decimal {
	return formats.Decimal(fmt.Sprintf("%d.%03d", n/1000, n%1000))
}

func (g *generator) reading(topic string, n int, date time.Time, b formats.EnergyReading) {
	b.Start = date.Format("2006-01-02T15:04:05")
	g.put(formats.Record{ID: g.id(topic, n), Dataset: formats.Energy, Kind: formats.KindReading, Created: date.AddDate(0, 0, 2), Body: body(b)})
}

// places makes trips between towns: a line of points with times, then where it began and ended.
func (g *generator) places() {
	towns := []sight{
		{"Rennes", 4811000, -168000}, {"Nantes", 4722000, -155000}, {"Lyon", 4576000, 484000}, {"Grenoble", 4519000, 572000}, {"Lille", 5063000, 306000},
		{"Bordeaux", 4484000, -58000}, {"Marseille", 4330000, 537000}, {"Strasbourg", 4858000, 775000}, {"Brest", 4839000, -449000}, {"Dijon", 4732000, 504000},
	}
	for n := range 2 * g.Months {
		r := g.random("trip", n)
		from, to := n%len(towns), (n+1+r.IntN(len(towns)-1))%len(towns)
		start := g.month(n / 2).Add(time.Duration(r.IntN(28*24)) * time.Hour)
		g.put(formats.Record{
			ID: g.id("trip", n), Dataset: formats.Places, Kind: formats.KindFeature, Created: start, Modified: start.Add(5 * time.Hour),
			Body: trip(r, towns[from], towns[to], start),
		})
	}
}

func trip(r *rand.Rand, from, to sight, start time.Time) []byte {
	type object = map[string]any
	mode := pick(r, []string{"TRAIN", "CAR", "BICYCLING"})
	var line []any
	var times []string
	const steps = 24
	for i := range steps + 1 {
		lat, lon := from.lat+(to.lat-from.lat)*i/steps, from.lon+(to.lon-from.lon)*i/steps
		if i > 0 && i < steps {
			lat, lon = lat+r.IntN(5000)-2500, lon+r.IntN(5000)-2500
		}
		line = append(line, position(lat, lon))
		times = append(times, start.Add(time.Duration(i)*7*time.Minute).Format(time.RFC3339))
	}
	point := func(s sight, which string) object {
		return object{"type": "Feature", "geometry": object{"type": "Point", "coordinates": position(s.lat, s.lon)}, "properties": object{"name": s.name, "role": which}}
	}
	return body(object{"type": "FeatureCollection", "features": []any{
		object{"type": "Feature", "geometry": object{"type": "LineString", "coordinates": line}, "properties": object{"mode": mode, "times": times, "title": from.name + " – " + to.name}},
		point(from, "start"), point(to, "end"),
	}})
}

// position is a GeoJSON position: longitude first.
func position(lat, lon int) []json.Number {
	return []json.Number{json.Number(decimalDegrees(lon)), json.Number(decimalDegrees(lat))}
}

// vault makes a password vault. Its strings look like what Bitwarden encrypts (type 2: AES-CBC, HMAC), and are random.
func (g *generator) vault() {
	item := func(topic string, n int, kind, doctype string, document map[string]any) {
		id, at := g.id(topic, n), moment(g.random(topic, n), 500)
		document["_id"] = id
		document["revisionDate"] = at.Format(time.RFC3339Nano)
		g.put(formats.Record{
			ID: id, Dataset: formats.Passwords, Kind: formats.KindVaultItem, Created: at, Modified: at,
			Body: body(formats.VaultItem{Type: kind, Scheme: "bitwarden"}), Native: native(doctype, document),
		})
	}
	r := g.random("vault", 0)
	item("profile", 0, "profile", "com.bitwarden.profiles", map[string]any{"key": encrypted(r, 64), "privateKey": encrypted(r, 1232)})
	for n := range 2 {
		item("vault folder", n, "folder", "com.bitwarden.folders", map[string]any{"name": encrypted(r, 16)})
	}
	for n := range 24 {
		document := map[string]any{"type": 1, "name": encrypted(r, 16), "favorite": n%8 == 0, "folder_id": g.id("vault folder", n%2), "notes": nil}
		kind := "login"
		switch n % 12 {
		case 10:
			kind, document["type"], document["secureNote"], document["notes"] = "note", 2, map[string]any{"type": 0}, encrypted(r, 64)
		case 11:
			kind, document["type"] = "card", 3
			document["card"] = map[string]any{"cardholderName": encrypted(r, 32), "number": encrypted(r, 32), "expMonth": encrypted(r, 16), "code": encrypted(r, 16)}
		default:
			document["login"] = map[string]any{"username": encrypted(r, 32), "password": encrypted(r, 32), "uris": []any{map[string]any{"uri": encrypted(r, 48), "match": nil}}}
		}
		item("cipher", n, kind, "com.bitwarden.ciphers", document)
	}
}

// encrypted returns a string of the form "2.iv|ciphertext|mac" for n bytes of ciphertext.
func encrypted(r *rand.Rand, n int) string {
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString(noise(r, n)) }
	return "2." + b64(16) + "|" + b64(n) + "|" + b64(32)
}

// others makes shares, settings, and a document of a kind that nobody knows, with numbers that no float holds.
func (g *generator) others() {
	at := moment(g.random("others", 0), 100)
	put := func(topic string, d formats.Dataset, k formats.Kind, b any) {
		g.put(formats.Record{ID: g.id(topic, 0), Dataset: d, Kind: k, Created: at, Modified: at, Body: body(b)})
	}
	friend := g.human("contact", 1)
	put("link", formats.Shares, formats.KindShare, formats.Share{
		Type: "link", Title: "Les plus belles", Expires: "2027-01-31T23:00:00Z",
		Rules: []formats.ShareRule{{Type: "io.cozy.photos.albums", Values: []string{g.id("album", 2)}, Actions: []string{"GET"}}},
	})
	put("sharing", formats.Shares, formats.KindShare, formats.Share{
		Type: "members", Title: "Potager",
		Members: []formats.ShareMember{{Name: g.me.full(), Email: g.me.mail(), Status: "owner"}, {Name: friend.full(), Email: friend.mail(), Status: "ready"}},
		Rules:   []formats.ShareRule{{Type: "io.cozy.files", Values: []string{g.id("folder", 13)}, Actions: []string{"GET", "POST", "PUT", "PATCH", "DELETE"}}},
	})
	put("app", formats.Shares, formats.KindShare, formats.Share{Type: "app", Title: "banks", Rules: []formats.ShareRule{{Type: "io.cozy.bank.operations", Actions: []string{"GET"}}}})
	put("instance", formats.Settings, formats.KindSetting, map[string]any{"public_name": g.me.full(), "email": g.me.mail(), "locale": "fr", "tz": "Europe/Paris"})
	put("home", formats.Settings, formats.KindSetting, map[string]any{"default_wallpaper": true, "shortcuts": []string{"banks", "drive", "notes"}})
	put("device", formats.Other, formats.KindDocument, json.RawMessage(
		`{"type":"org.example.sensors","n":9007199254740993,"e":1e21,"price":0.10,"zero":-0.0,"text":"<&> é \u00e9 日本 🦊","nested":{"z":[],"a":{"":null}},"__proto__":{"x":1}}`))
}
