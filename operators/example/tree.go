package example

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// folders lists the person's folders, parents first.
func (g *generator) folders() []string {
	list := []string{
		"Administratif", "Administratif/Bulletins de paie", "Administratif/Factures", "Administratif/Impôts", "Administratif/Impôts/2025",
		"Administratif/Impôts/2026", "Administratif/Logement", "Administratif/Santé", "Images", "Images/2025 Bretagne",
		"Images/2026 Noël à la mer 🎄", "Notes", "Projets", "Projets/Potager", "Projets/Potager/2026", "Projets/Potager/2026/Semis et plants",
		"Projets/Roman", "Recettes de mamie", "Noms difficiles", "Vide", "Vide/Vide aussi",
	}
	for n := range (g.Files - 300) / 100 {
		list = append(list, fmt.Sprintf("Projets/Archives %d", n))
	}
	return list
}

// awkward lists names that some system refuses, changes or confuses with another.
func awkward() []string {
	return []string{
		"caf\u00e9.txt", "cafe\u0301.txt", "🦊 renard 👩‍👩‍👧.txt", "שלום עולם.txt", "مرحبا.txt", "日本語のメモ.txt", "İstanbul ß ﬁ.txt",
		strings.Repeat("très ", 41) + "long.txt", "espace à la fin ", "point à la fin.", "...", "-rf", "~", ".caché", "LISEZMOI.txt", "lisezmoi.txt", "LisezMoi.txt",
		"CON", "NUL", "aux.txt", "%41.txt", "100 %.txt", "barre\\inverse.txt", "\"guillemets\".txt", "l'apostrophe.txt", "`date`.txt", "$HOME.txt",
		"a:b.txt", "a<b>c|d?e*.txt", "[crochets] {accolades}.txt", "#dièse&et=égal.txt", "deux  espaces.txt", "zéro\u200blargeur.txt", "C:x", "archive.tar.gz",
	}
}

// tree makes folders and files, the documents of bills included; then versions and the trash.
func (g *generator) tree() {
	for i, folder := range g.folders() {
		g.putFolder(i, folder)
	}
	left := int(g.Bytes)
	count := 0
	file := func(r formats.Record, mediaType string, content []byte) {
		g.putFile(r, mediaType, func() []byte { return content })
		left -= len(content)
		count++
	}
	for n, name := range awkward() {
		content := prose(g.random("awkward", n), 200+n)
		file(g.fileAt("awkward", n, "Noms difficiles/"+name, "text/plain"), "text/plain", content)
	}
	for _, d := range g.documents() {
		content := pdf(d.lines...)
		r := g.fileAt(d.topic, d.n, d.path, "application/pdf")
		r.Created, r.Modified = d.date, d.date
		r.Body = body(formats.File{MediaType: "application/pdf", Tags: d.tags, Checksums: md5Of(content)})
		file(r, "application/pdf", content)
	}
	for n := range 3 {
		file(g.fileAt("empty", n, fmt.Sprintf("Projets/Roman/chapitre %d.md", 40+n), "text/markdown"), "text/markdown", []byte{})
	}
	g.ordinary(file, g.Files-count-g.pictures(), left-g.pictures()*60_000)
	g.versions()
	g.trash()
}

func md5Of(content []byte) map[string]string {
	sum := md5.Sum(content)
	return map[string]string{"md5": hex.EncodeToString(sum[:])}
}

// pictures is the number of photographs.
func (g *generator) pictures() int { return 30 + g.Files/50 }

// ordinary makes the given number of files with so many bytes in all: small texts, larger files that no program can
// compress, and a duplicate now and then.
func (g *generator) ordinary(file func(formats.Record, string, []byte), count, total int) {
	folders := []string{"Projets/Potager/2026/Semis et plants", "Projets/Roman", "Recettes de mamie", "Projets/Potager", "Administratif/Impôts/2026"}
	for n := range (g.Files - 300) / 100 {
		folders = append(folders, fmt.Sprintf("Projets/Archives %d", n))
	}
	count = max(count, 10)
	const texts, others = 6500 * 85 / 100, 15 // bytes of text a file; files of a hundred that are no text
	size := max(1000, (total-count*texts)*100/(count*others))
	var last []byte
	for n := range count {
		r := g.random("ordinary", n)
		folder := folders[n%len(folders)]
		switch {
		case n%20 == 19:
			file(g.fileAt("ordinary", n, fmt.Sprintf("%s/Copie de document %d.bin", folder, n-1), "application/octet-stream"), "application/octet-stream", last)
		case n%10 == 8:
			last = noise(r, size)
			file(g.fileAt("ordinary", n, fmt.Sprintf("%s/Document %d.bin", folder, n), "application/octet-stream"), "application/octet-stream", last)
		default:
			content := prose(r, 500+r.IntN(12_000))
			name := fmt.Sprintf("%s/%s %s %d.txt", folder, capital(pick(r, words())), pick(r, words()), n)
			file(g.fileAt("ordinary", n, name, "text/plain"), "text/plain", content)
		}
	}
}

// noise is n random bytes.
func noise(r *rand.Rand, n int) []byte {
	var key [32]byte
	for i := range key {
		key[i] = byte(r.Uint32())
	}
	out := make([]byte, n)
	rand.NewChaCha8(key).Read(out)
	return out
}

func (g *generator) putFolder(n int, folder string) {
	r := g.random("folder", n)
	b := formats.Folder{Favourite: n == 0}
	if n%7 == 3 {
		b.Tags = []string{"à trier"}
	}
	g.put(formats.Record{
		ID: g.id("folder", n), Dataset: formats.Files, Kind: formats.KindFolder, Path: formats.Tree.Place(folder),
		Created: moment(r, 900), Modified: moment(r, 400), Body: body(b),
	})
}

// fileAt returns the record of a file, without its blob.
func (g *generator) fileAt(topic string, n int, name, mediaType string) formats.Record {
	r := g.random("file "+topic, n)
	modified := moment(r, 600)
	b := formats.File{MediaType: mediaType, Executable: name == "Noms difficiles/-rf", Favourite: n%40 == 1}
	if n%9 == 4 {
		b.Tags = []string{"important", "à garder"}
	}
	return formats.Record{
		ID: g.id(topic, n), Dataset: formats.Files, Kind: formats.KindFile, Path: formats.Tree.Place(name),
		Created: modified.Add(-time.Duration(r.IntN(1000)) * time.Hour), Modified: modified, Body: body(b),
	}
}

// versions gives some files an earlier state.
func (g *generator) versions() {
	for n := range 6 {
		r := g.random("version", n)
		of := g.id("ordinary", n)
		id := fmt.Sprintf("%s/%d-%s", of, 1+n%2, g.id("revision", n))
		g.putFile(formats.Record{
			ID: id, Dataset: formats.Files, Kind: formats.KindVersion, Path: formats.Versions.Place(id), Modified: moment(r, 300).AddDate(-2, 0, 0),
			Links: []formats.Link{{Rel: "file", Dataset: formats.Files, ID: of}}, Body: body(formats.Version{Tags: []string{"brouillon"}}),
		}, "text/plain", func() []byte { return prose(r, 900) })
	}
}

// trash throws some things away, a folder with a file in it among them.
func (g *generator) trash() {
	g.put(formats.Record{
		ID: g.id("thrown", 100), Dataset: formats.Files, Kind: formats.KindFolder, Path: formats.Trash.Place("Vieux dossier"),
		Modified: moment(g.random("thrown", 100), 90), Body: body(formats.Folder{RestorePath: "Projets"}),
	})
	for n, name := range []string{"Vieux dossier/brouillon.txt", "facture en double.txt", "renard 🦊.txt", "liste de courses.txt"} {
		r := g.random("thrown", n)
		restore := "Administratif"
		if n == 0 {
			restore = "Projets/" + path.Dir(name)
		}
		g.putFile(formats.Record{
			ID: g.id("thrown", n), Dataset: formats.Files, Kind: formats.KindFile, Path: formats.Trash.Place(name),
			Modified: moment(r, 90), Body: body(formats.File{MediaType: "text/plain", RestorePath: restore}),
		}, "text/plain", func() []byte { return prose(r, 700) })
	}
}

// notes makes notes as a Cozy keeps them: a file of Markdown, with the editor's document in its metadata.
func (g *generator) notes() {
	titles := []string{"Courses", "Idées de cadeaux 🎁", "Potager : calendrier", "Compte rendu de l'assemblée", "À lire", "Recette du far", "Vacances", "Travaux"}
	for n, title := range titles {
		r := g.random("note", n)
		first, item := strings.Join(strings.Fields(string(prose(r, 200))), " "), pick(r, words())
		markdown := fmt.Sprintf("# %s\n\n%s\n\n* **%s**\n* 9007199254740993 < 1e21\n", title, first, item)
		editor := map[string]any{"schema": json.RawMessage(noteSchema), "version": 12 + n, "content": noteDocument(title, first, item)}
		name, modified := title+".cozy-note", moment(r, 300)
		id := g.id("note", n)
		g.putFile(formats.Record{
			ID: id, Dataset: formats.Notes, Kind: formats.KindNote, Path: formats.Tree.Place("Notes/" + name), Created: modified.AddDate(0, -1, 0), Modified: modified,
			Body: body(formats.Note{Title: title, Markdown: markdown, MediaType: noteType, ProseMirror: body(editor)}),
			Native: native("io.cozy.files", map[string]any{
				"_id": id, "type": "file", "name": name, "dir_id": g.id("folder", slices.Index(g.folders(), "Notes")), "mime": noteType, "class": "text", "size": fmt.Sprint(len(markdown)),
				"created_at": modified.AddDate(0, -1, 0).Format(time.RFC3339Nano), "updated_at": modified.Format(time.RFC3339Nano), "trashed": false,
				"metadata": map[string]any{"title": title, "version": editor["version"], "schema": editor["schema"], "content": editor["content"]},
			}),
		}, noteType, func() []byte { return []byte(markdown) })
	}
}

const (
	noteType   = "text/vnd.cozy.note+markdown"
	noteSchema = `{"nodes":[["doc",{"content":"(block)+"}],["paragraph",{"content":"inline*","group":"block"}],["heading",{"content":"inline*","group":"block","attrs":{"level":{"default":1}}}],["bulletList",{"content":"listItem+","group":"block"}],["listItem",{"content":"paragraph block*"}],["text",{"group":"inline"}]],"marks":[["strong",{}],["em",{}]],"topNode":"doc"}`
)

func noteDocument(title, paragraph, item string) any {
	type object = map[string]any
	text := func(s string, marks ...any) object {
		node := object{"type": "text", "text": s}
		if len(marks) > 0 {
			node["marks"] = marks
		}
		return node
	}
	block := func(kind string, content ...any) object { return object{"type": kind, "content": content} }
	heading := block("heading", text(title))
	heading["attrs"] = object{"level": 1}
	return block("doc", heading, block("paragraph", text(paragraph)), block("bulletList",
		block("listItem", block("paragraph", text(item, object{"type": "strong"}))),
		block("listItem", block("paragraph", text("9007199254740993 < 1e21")))))
}

// photos makes albums and the photographs in them.
func (g *generator) photos() {
	albums := []string{"Bretagne 2025", "Noël à la mer 🎄", "Les plus belles"}
	for n, name := range albums {
		id, created := g.id("album", n), moment(g.random("album", n), 300)
		g.put(formats.Record{
			ID: id, Dataset: formats.Photos, Kind: formats.KindAlbum, Created: created, Modified: created,
			Body:   body(formats.Album{Name: name, Auto: n == 2}),
			Native: native("io.cozy.photos.albums", map[string]any{"_id": id, "name": name, "created_at": created.Format(time.RFC3339Nano), "auto": n == 2}),
		})
	}
	folders := []string{"Images/2025 Bretagne", "Images/2026 Noël à la mer 🎄", "Images"}
	for n := range g.pictures() {
		r := g.random("photo", n)
		where, at := pick(r, sights()), moment(r, 500).Truncate(time.Second)
		record := g.fileAt("photo", n, fmt.Sprintf("%s/IMG_%s_%04d.jpg", folders[n%3], at.Format("20060102"), n), "image/jpeg")
		record.Created, record.Modified = at, at
		record.Body = body(formats.File{MediaType: "image/jpeg", Metadata: metadata(at, where), Favourite: n%11 == 0})
		record.Links = []formats.Link{{Rel: "album", Dataset: formats.Photos, ID: g.id("album", n%3)}}
		g.putFile(record, "image/jpeg", func() []byte { return picture(r, at, where) })
	}
}
