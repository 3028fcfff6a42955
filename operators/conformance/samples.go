package conformance

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/passerelle-cloud/passerelle/formats"
)

// entry is a record and the bytes of its blob.
type entry struct {
	formats.Record
	content []byte
}

// file returns a file at a path of the person's tree.
func file(id, path, content string) entry {
	return withContent(entry{Record: formats.Record{
		ID: id, Dataset: formats.Files, Kind: formats.KindFile, Path: formats.Tree.Place(path),
		Modified: at(len(content)), Body: json.RawMessage(`{"mediaType":"text/plain"}`),
	}}, content)
}

func withContent(e entry, content string) entry {
	e.content = []byte(content)
	e.Blob = &formats.Blob{SHA256: formats.HashOf(e.content), Size: int64(len(content)), Type: "text/plain"}
	return e
}

func folder(id, path string) entry {
	return entry{Record: formats.Record{
		ID: id, Dataset: formats.Files, Kind: formats.KindFolder, Path: formats.Tree.Place(path),
		Modified: at(7), Body: json.RawMessage(`{}`),
	}}
}

// item returns a record without a place in the tree.
func item(id string, d formats.Dataset, k formats.Kind, body string) entry {
	return entry{Record: formats.Record{ID: id, Dataset: d, Kind: k, Modified: at(1), Body: json.RawMessage(body)}}
}

// everyKind returns a record of every kind, in every dataset, with every part of an envelope in some of them.
func everyKind() []entry {
	doc := file("f-1", "Documents/Facture été.pdf", "%PDF-1.4 not really")
	doc.Created = at(-100)
	doc.Body = json.RawMessage(`{"mediaType":"application/pdf","tags":["maison"],"favourite":true,"metadata":{"n":9007199254740993}}`)
	doc.Native = &formats.Native{Type: "io.cozy.files", Document: json.RawMessage(`{"_id":"f-1","big":9007199254740993,"e":1e21,"cents":0.10,"x":"\u00e9","unknown":{"b":1,"a":[null,true]}}`)}
	doc.Links = []formats.Link{{Rel: "album", Dataset: formats.Photos, ID: "album-1"}}
	version := withContent(entry{Record: formats.Record{
		ID: "f-1/2-abc", Dataset: formats.Files, Kind: formats.KindVersion, Path: formats.Versions.Place("f-1/2-abc"), Modified: at(-50),
		Body: json.RawMessage(`{"tags":["maison"]}`), Links: []formats.Link{{Rel: "file", Dataset: formats.Files, ID: "f-1"}},
	}}, "what it was before")
	thrown := file("f-2", "x", "thrown away")
	thrown.Path, thrown.Body = formats.Trash.Place("Vieux papiers.txt"), json.RawMessage(`{"restorePath":"Documents"}`)
	note := withContent(entry{Record: formats.Record{
		ID: "note-1", Dataset: formats.Notes, Kind: formats.KindNote, Path: formats.Tree.Place("Documents/Courses.cozy-note"), Modified: at(3),
		Body: json.RawMessage(`{"title":"Courses","markdown":"# Courses\n\n* lait","proseMirror":{"version":3}}`),
	}}, "# Courses\n\n* lait")
	return append([]entry{
		folder("d-1", "Documents"), doc, version, thrown, note,
		file("f-3", "Documents/copie.pdf", "%PDF-1.4 not really"),
	}, everyItem()...)
}

func everyItem() []entry {
	operation := item("op-1", formats.Bank, formats.KindOperation,
		`{"bookingDate":"2024-03-09","transactionAmount":{"currency":"EUR","amount":"-0.10"},"remittanceInformationUnstructured":"CB ÉPICERIE"}`)
	operation.Links = []formats.Link{{Rel: "account", Dataset: formats.Bank, ID: "acc-1"}}
	match := item("match-1", formats.Health, formats.KindMatch, `{"role":"debit","state":"rejected","date":"2024-03-01","verdict":"rejected"}`)
	match.Links = []formats.Link{{Rel: "bill", Dataset: formats.Health, ID: "bill-1"}, {Rel: "operation", Dataset: formats.Bank, ID: "op-1"}}
	vault := item("vault-1", formats.Passwords, formats.KindVaultItem, `{"type":"login","scheme":"bitwarden"}`)
	vault.Native = &formats.Native{Type: "com.bitwarden.ciphers", Document: json.RawMessage(`{"_id":"vault-1","name":"2.AAAA|BBBB|CCCC"}`)}
	return []entry{
		item("album-1", formats.Photos, formats.KindAlbum, `{"name":"Été à la mer 🏖"}`),
		item("card-1", formats.Contacts, formats.KindCard, `{"@type":"Card","version":"1.0","uid":"urn:uuid:0a6e2f9c-98a5-4c6e-b9f4-2f3d1e8b7a60","name":{"full":"Zoé Lemaître"}}`),
		item("event-1", formats.Calendar, formats.KindEvent, `{"@type":"Event","uid":"event-1","updated":"2024-03-09T16:05:00Z","title":"Dentiste","start":"2024-03-12T09:00:00","timeZone":"Europe/Paris","duration":"PT30M"}`),
		item("task-1", formats.Calendar, formats.KindTask, `{"@type":"Task","uid":"task-1","updated":"2024-03-09T16:05:00Z","title":"Rappeler"}`),
		item("acc-1", formats.Bank, formats.KindAccount, `{"iban":"FR7630006000011234567890189","currency":"EUR","name":"Compte courant"}`),
		operation, vault,
		item("bill-1", formats.Bills, formats.KindBill, `{"issuer":"Eau claire","date":"2024-03-01","amount":{"currency":"EUR","amount":"31.40"}}`),
		item("bill-1", formats.Health, formats.KindBill, `{"issuer":"Pharmacie","date":"2024-03-01","amount":{"currency":"EUR","amount":"12.00"},"category":"health_costs"}`),
		item("alert-1", formats.Health, formats.KindAlert, `{"type":"late","state":"open","payer":"insurance","issuer":"Caisse","date":"2024-03-01","due":"2024-03-22","raised":"2024-03-23","paid":{"currency":"EUR","amount":"12.00"},"missing":{"currency":"EUR","amount":"8.40"},"advice":"send-proof"}`),
		match,
		item("reading-1", formats.Energy, formats.KindReading, `{"commodity":"electricity","unit":"kWh","start":"2024-03-01T00:00:00","interval":"P1D","value":"7.250"}`),
		item("trip-1", formats.Places, formats.KindFeature, `{"type":"Feature","geometry":{"type":"Point","coordinates":[2.3522,48.8566]},"properties":{}}`),
		item("consent-1", formats.Consents, formats.KindDocument, `{"service":"Budget"}`),
		item("share-1", formats.Shares, formats.KindShare, `{"type":"link","title":"Photos","rules":[{"type":"files","values":["f-1"],"actions":["GET"]}]}`),
		item("setting-1", formats.Settings, formats.KindSetting, `{"locale":"fr"}`),
		item("other-1", formats.Other, formats.KindDocument, `{"n":9007199254740993,"e":1e21,"d":0.10,"text":"\u00e9 <&> 日本","nested":{"z":[],"a":{}}}`),
		item("un identifiant 🦊/avec: \"tout\"", formats.Other, formats.KindDocument, `{}`),
	}
}

// awkwardNames are names that some system refuses, changes or confuses; every one is a fair name for a file.
func awkwardNames() []string {
	return []string{
		"caf\u00e9.txt", "cafe\u0301.txt", // the same in NFC and in NFD
		"🦊 renard 👩‍👩‍👧.txt", "שלום.txt", "\u202eevil.txt", "日本語.txt", "İstanbul ß ﬁ.txt",
		strings.Repeat("x", 255), strings.Repeat("é", 127) + "x", // 255 bytes each
		"trailing space ", "trailing dot.", " leading space", "...", "-rf", "--", "~", "~passerelle~x", ".hidden", ".passerelle",
		"README", "readme", "ReadMe", "CON", "NUL", "aux", "com1.txt", "C:", "C:x",
		"%41", "%2e%2e", "%", "back\\slash", "..\\..\\x", "new\nline", "carriage\rreturn", "tab\there", "bell\a", "del\x7f",
		"\"quoted\"", "it's", "`tick`", "$HOME", "a;b", "a|b", "a&b", "a<b>c", "a*b?", "[x]", "{y}", "#hash", "a:b", "@", "=1+1",
		"a  b", "name (2).txt", "name.txt", "x.tar.gz", "\ufeffbom", "\u00a0nbsp", "zero\u200bwidth", "\ufffd.txt", "index.md", "__proto__",
	}
}

func awkward() []entry {
	entries := []entry{folder("root", "Noms")}
	for i, name := range awkwardNames() {
		entries = append(entries,
			file(fmt.Sprintf("name-%d", i), "Noms/"+name, fmt.Sprintf("%d: %s", i, name)),
			folder(fmt.Sprintf("folder-%d", i), "Dossiers/"+name),
			file(fmt.Sprintf("inside-%d", i), "Dossiers/"+name+"/"+name, fmt.Sprintf("inside %d", i)),
			file(fmt.Sprintf("top-%d", i), name, fmt.Sprintf("top %d", i)))
	}
	return entries
}

// hostile are paths that a record may have and no file system should see as they are.
func hostile() []entry {
	var entries []entry
	for i, path := range []string{
		"../escaped", "a/../../escaped", "..", ".", "./x", "/absolute", "//x", "a//b", "a/", "nul\x00byte",
		strings.Repeat("y", 256), strings.Repeat("deep/", 300) + "x", strings.Repeat(strings.Repeat("z", 200)+"/", 25) + "x",
		".passerelle/records/files.ndjson", "../../../../../../../../tmp/escaped",
	} {
		entries = append(entries, file(fmt.Sprintf("hostile-%d", i), "", fmt.Sprintf("hostile %d", i)))
		entries[i].Path = string(formats.Tree) + "/" + path
	}
	return entries
}
