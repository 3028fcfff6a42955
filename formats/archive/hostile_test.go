package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/passerelle-cloud/passerelle/formats"
)

// bagFile is a file of a bag that a test takes apart and puts together otherwise.
type bagFile struct {
	header tar.Header
	data   []byte
}

const bagRoot = "alice-martin-2026-11-23-0/"

// unpack packs items and returns the files of the bag.
func unpack(t testing.TB, items []item) []bagFile {
	t.Helper()
	return unpackAs(t, testOptions(""), items)
}

// unpackAs is unpack with other options.
func unpackAs(t testing.TB, opts Options, items []item) []bagFile {
	t.Helper()
	dir := t.TempDir()
	opts.Out = filepath.Join(dir, "a")
	sealed := pack(t, opts, items)
	f, err := os.Open(filepath.Join(dir, sealed.Volumes[0].Name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var files []bagFile
	for in := tar.NewReader(f); ; {
		h, err := in.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, bagFile{*h, data})
	}
}

func plainFile(name, data string) bagFile {
	return bagFile{*tarHeader(name, int64(len(data)), packedAt), []byte(data)}
}

// repack writes files as a tar and returns its path.
func repack(t testing.TB, files []bagFile) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "hostile.tar")
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := f.header
		h.Size = int64(len(f.data))
		if h.Typeflag != tar.TypeReg {
			h.Size = 0
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write(f.data); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, buf.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func find(files []bagFile, name string) *bagFile {
	for i := range files {
		if files[i].header.Name == bagRoot+name {
			return &files[i]
		}
	}
	panic("no " + name)
}

func without(files []bagFile, name string) []bagFile {
	return slices.DeleteFunc(files, func(f bagFile) bool { return f.header.Name == bagRoot+name })
}

// reseal does what a dishonest source can do: it makes manifests, Oxum and signatures fit whatever the bag holds.
func reseal(files []bagFile, oxum bool) []bagFile {
	var manifest, tags []byte
	var payload formats.Count
	for _, f := range files {
		name := strings.TrimPrefix(f.header.Name, bagRoot)
		if strings.HasPrefix(name, dataDir) {
			manifest = appendManifestLine(manifest, formats.HashOf(f.data), name)
			payload.Files++
			payload.Bytes += int64(len(f.data))
		}
	}
	find(files, manifestFile).data = manifest
	if oxum {
		info := find(files, bagInfoFile)
		head, _, _ := strings.Cut(string(info.data), "Payload-Oxum:")
		info.data = fmt.Appendf([]byte(head), "Payload-Oxum: %d.%d\n", payload.Bytes, payload.Files)
	}
	for _, f := range files {
		name := strings.TrimPrefix(f.header.Name, bagRoot)
		if !strings.HasPrefix(name, dataDir) && !strings.HasPrefix(name, signatureDir) && name != tagManifestFile {
			tags = appendManifestLine(tags, formats.HashOf(f.data), name)
		}
	}
	find(files, tagManifestFile).data = tags
	key := testKey("archive")
	find(files, rawSigFile).data, _ = sign(key, tags)
	find(files, minisigFile).data, _ = minisign(key, key.Public().(ed25519.PublicKey), tags, packedAt)
	return files
}

// claiming changes the claims and seals again.
func claiming(change func(*Claims)) func([]bagFile) []bagFile {
	return func(files []bagFile) []bagFile {
		f := find(files, claimsFile)
		var c Claims
		if err := json.Unmarshal(f.data, &c); err != nil {
			panic(err)
		}
		change(&c)
		f.data, _ = json.Marshal(c)
		return reseal(files, true)
	}
}

func records(change func(string) string) func([]bagFile) []bagFile {
	return func(files []bagFile) []bagFile {
		f := find(files, "data/files/records.ndjson")
		f.data = []byte(change(string(f.data)))
		return reseal(files, true)
	}
}

func TestHostileArchivesAreRefused(t *testing.T) {
	other := formats.HashOf([]byte("other"))
	past := packedAt.Add(time.Hour)
	tests := []struct {
		name string
		do   func([]bagFile) []bagFile
		want string // in a fault
	}{
		{"path traversal", func(f []bagFile) []bagFile { return append(f, plainFile(bagRoot+"data/../../evil", "x")) }, "leaves the bag"},
		{"absolute path", func(f []bagFile) []bagFile { return append(f, plainFile("/etc/evil", "x")) }, "leaves the bag"},
		{"drive letter", func(f []bagFile) []bagFile { return append(f, plainFile(bagRoot+"data/files/C:evil", "x")) }, "not safe"},
		{"backslash", func(f []bagFile) []bagFile { return append(f, plainFile(bagRoot+`data\..\evil`, "x")) }, "not safe"},
		{"control character", func(f []bagFile) []bagFile { return append(f, plainFile(bagRoot+"data/a\nb", "x")) }, "not safe"},
		{"too deep", func(f []bagFile) []bagFile { return append(f, plainFile(bagRoot+strings.Repeat("d/", 300)+"x", "x")) }, "too deep"},
		{"outside the bag's folder", func(f []bagFile) []bagFile { return append(f, plainFile("evil", "x")) }, "outside"},
		{"two bags", func(f []bagFile) []bagFile { return append(f, plainFile("another/data/x", "x")) }, "two folders"},
		{"symbolic link", func(f []bagFile) []bagFile {
			return append(f, bagFile{tar.Header{Typeflag: tar.TypeSymlink, Name: bagRoot + "data/l", Linkname: "/etc/passwd"}, nil})
		}, "link"},
		{"hard link", func(f []bagFile) []bagFile {
			return append(f, bagFile{tar.Header{Typeflag: tar.TypeLink, Name: bagRoot + "data/l", Linkname: bagRoot + claimsFile}, nil})
		}, "link"},
		{"device", func(f []bagFile) []bagFile {
			return append(f, bagFile{tar.Header{Typeflag: tar.TypeChar, Name: bagRoot + "data/tty", Devmajor: 5}, nil})
		}, "device"},
		{"duplicate payload", func(f []bagFile) []bagFile { return append(f, *find(f, "data/files/tree/Docs/lettre.txt")) }, "more than once"},
		{"duplicate, other contents", func(f []bagFile) []bagFile {
			return append(f, plainFile(bagRoot+"data/files/tree/Docs/lettre.txt", "x"))
		}, "more than once"},
		{"duplicate tag file", func(f []bagFile) []bagFile { return append(f, *find(f, claimsFile)) }, "there twice"},
		{"payload not in the manifest", func(f []bagFile) []bagFile {
			return append(f, plainFile(bagRoot+"data/files/tree/new", "x"))
		}, "not in the manifest"},
		{"manifest line without file", func(f []bagFile) []bagFile { return without(f, "data/files/tree/Docs/lettre.txt") }, "but it is missing"},
		{"changed payload", func(f []bagFile) []bagFile {
			find(f, "data/files/tree/Docs/lettre.txt").data[0] ^= 1
			return f
		}, "contents were changed"},
		{"unlisted tag file", func(f []bagFile) []bagFile { return append(f, plainFile(bagRoot+"virus.txt", "x")) }, "not in the tag manifest"},
		{"changed tag file", func(f []bagFile) []bagFile {
			find(f, readmeFile).data[0] ^= 1
			return f
		}, "README.txt: its contents were changed"},
		{"missing tag file", func(f []bagFile) []bagFile { return without(f, readmeFile) }, "README.txt: the tag manifest lists it"},
		{"no manifest", func(f []bagFile) []bagFile { return without(f, manifestFile) }, "not a BagIt bag"},
		{"no tag manifest", func(f []bagFile) []bagFile { return without(f, tagManifestFile) }, "nothing says what was signed"},
		{"no claims", func(f []bagFile) []bagFile { return without(f, claimsFile) }, "no archive of a Passerelle gateway"},
		{"no signature", func(f []bagFile) []bagFile { return without(f, rawSigFile) }, "does not match"},
		{"claims not signed", func(f []bagFile) []bagFile {
			tags := find(f, tagManifestFile)
			kept := slices.DeleteFunc(strings.SplitAfter(string(tags.data), "\n"), func(l string) bool { return strings.HasSuffix(l, claimsFile+"\n") })
			tags.data = []byte(strings.Join(kept, ""))
			return f
		}, "is not signed"},
		{"fetch.txt", func(f []bagFile) []bagFile {
			return reseal(append(f, plainFile(bagRoot+"fetch.txt", "http://evil.example/ 1 data/x\n")), true)
		}, "fetched from elsewhere"},
		{"Oxum", func(f []bagFile) []bagFile {
			return reseal(append(f, plainFile(bagRoot+"data/extra", "x")), false)
		}, "Payload-Oxum"},
		{"another key", func(f []bagFile) []bagFile {
			tags := find(f, tagManifestFile).data
			find(f, rawSigFile).data, _ = sign(testKey("mallory"), tags)
			return f
		}, "does not match"},
		{"minisign key of somebody else", func(f []bagFile) []bagFile {
			find(f, minisignPubFile).data = minisignPublic(testKey("mallory").Public().(ed25519.PublicKey))
			return f
		}, "it is not the key in"},
		{"another statement", func(f []bagFile) []bagFile { find(f, statementFile).data = []byte("{}"); return f }, "not the operator statement"},
		{"unknown major version", claiming(func(c *Claims) { c.Format = "passerelle-archive/2.0" }), "use a newer one"},
		{"negative sequence", claiming(func(c *Claims) { c.Sequence = -1 }), "out of range"},
		{"sequence without previous root", claiming(func(c *Claims) { c.Sequence = 3 }), "previous_root"},
		{"wrong recipient", claiming(func(c *Claims) { c.Recipient, c.Expires = &Party{ID: "c.example"}, &past }), "made for c.example"},
		{"expired", claiming(func(c *Claims) { c.Recipient, c.Expires = &Party{ID: "b.example"}, &past }), "expired"},
		{"wrong count", claiming(func(c *Claims) { c.Datasets[0].Records++ }), "but there are"},
		{"dataset twice", claiming(func(c *Claims) { c.Datasets = append(c.Datasets, c.Datasets[0]) }), "listed twice"},
		{"wrong state root", claiming(func(c *Claims) { c.StateRoot = other }), "state root"},
		{"a record less", records(func(s string) string { _, rest, _ := strings.Cut(s, "\n"); return rest }), "there are"},
		{"a record that is not JSON", records(func(s string) string { return "{nonsense\n" + s }), "line 1"},
		{"a record of another dataset", records(func(s string) string {
			return strings.Replace(s, `"dataset":"files"`, `"dataset":"notes"`, 1)
		}), "record of notes"},
		{"a last line without end", records(func(s string) string { return strings.TrimSuffix(s, "\n") }), "cut short"},
		{"a record naming another blob", records(func(s string) string {
			i := strings.Index(s, `"sha256":"`) + len(`"sha256":"`)
			return s[:i] + other.String() + s[i+64:]
		}), "not there"},
		{"an empty archive", func([]bagFile) []bagFile { return nil }, "holds no file"},
		{"a huge tag file", func(f []bagFile) []bagFile {
			find(f, tagManifestFile).data = make([]byte, 17<<20)
			return f
		}, "larger than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := repack(t, test.do(unpack(t, someItems())))
			report := verify(t, OpenOptions{}, Expectations{Recipient: "b.example", Now: past.Add(time.Second)}, path)
			if report.Intact || !strings.Contains(fmt.Sprint(report.Faults), test.want) {
				t.Fatalf("intact %v, faults %v; want one with %q", report.Intact, report.Faults, test.want)
			}
		})
	}
}

func TestAnArchiveForAnOperatorIsForItAlone(t *testing.T) {
	later := packedAt.Add(time.Hour)
	path := repack(t, claiming(func(c *Claims) { c.Recipient, c.Expires = &Party{ID: "b.example"}, &later })(unpack(t, someItems())))
	for recipient, intact := range map[string]bool{"b.example": true, "c.example": false, "": false} {
		if r := verify(t, OpenOptions{}, Expectations{Recipient: recipient, Now: packedAt}, path); r.Intact != intact {
			t.Errorf("read by %q: intact %v, faults %v", recipient, r.Intact, r.Faults)
		}
	}
}

func TestABagPackedAgainIsJudgedByItsContents(t *testing.T) {
	files := unpack(t, someItems())
	for i := range files {
		files[i].header.Uname, files[i].header.Uid, files[i].header.ModTime = "alice", 1000, time.Now()
	}
	slices.Reverse(files)
	if r := verify(t, OpenOptions{}, Expectations{}, repack(t, files)); !r.Intact || !r.Repacked {
		t.Fatalf("%+v", r)
	}
	find(files, "data/files/tree/Docs/lettre.txt").data[3] ^= 4
	if r := verify(t, OpenOptions{}, Expectations{}, repack(t, files)); r.Intact {
		t.Fatal("a change in a bag that was packed again went unnoticed")
	}
}

func TestVolumesOfAnotherExportAreRefused(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	opts := testOptions(filepath.Join(dir, "alice"))
	opts.VolumeSize = 12 << 10
	sealed := pack(t, opts, someItems())
	if len(sealed.Volumes) < 3 {
		t.Fatalf("%d volumes", len(sealed.Volumes))
	}
	index := filepath.Join(dir, "alice.index.json")
	second := filepath.Join(dir, sealed.Volumes[1].Name)
	opts.Out = filepath.Join(other, "alice")
	opts.Claims.Created = packedAt.Add(time.Hour)
	pack(t, opts, someItems())

	t.Run("a volume", func(t *testing.T) {
		ours := replaceFile(t, second, filepath.Join(other, sealed.Volumes[1].Name))
		defer ours()
		if r := verify(t, OpenOptions{}, Expectations{}, index); r.Intact || !strings.Contains(fmt.Sprint(r.Faults), sealed.Volumes[1].Name) {
			t.Fatalf("%+v", r.Faults)
		}
	})
	t.Run("the index", func(t *testing.T) {
		a := replaceFile(t, index, filepath.Join(other, "alice.index.json"))
		b := replaceFile(t, index+".sig", filepath.Join(other, "alice.index.json.sig"))
		defer a()
		defer b()
		if r := verify(t, OpenOptions{}, Expectations{}, index); r.Intact {
			t.Fatal("intact")
		}
	})
	t.Run("missing", func(t *testing.T) {
		if err := os.Remove(second); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, OpenOptions{}, Expectations{}, index); !strings.Contains(fmt.Sprint(r.Faults), sealed.Volumes[1].Name+" is missing") {
			t.Fatalf("%+v", r.Faults)
		}
	})
}

// replaceFile puts another file in the place of name and returns what undoes that.
func replaceFile(t *testing.T, name, by string) func() {
	t.Helper()
	was, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	is, err := os.ReadFile(by)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, is, 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.WriteFile(name, was, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBombsAreRefused(t *testing.T) {
	t.Run("zstd", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "bomb-0001.tar.zst")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		z, _ := zstd.NewWriter(f)
		w := tar.NewWriter(z)
		size := int64(bombFloor + 10<<20)
		w.WriteHeader(tarHeader(bagRoot+"data/files/tree/zeros", size, packedAt))
		for left := size; left > 0; left -= 1 << 20 {
			w.Write(zeros[:])
		}
		w.Close()
		z.Close()
		f.Close()
		if r := verify(t, OpenOptions{}, Expectations{}, name); !strings.Contains(fmt.Sprint(r.Faults), "decompression bomb") {
			t.Fatalf("%+v", r.Faults)
		}
	})
	t.Run("zip that overlaps", func(t *testing.T) {
		var buf bytes.Buffer
		w := zip.NewWriter(&buf)
		out, _ := w.Create(bagRoot + "data/files/tree/x")
		out.Write(make([]byte, 1000))
		w.Close()
		// The directory says that the one file has far more bytes than the zip.
		data := buf.Bytes()
		at := bytes.LastIndex(data, []byte("PK\x01\x02"))
		copy(data[at+20:], []byte{0xff, 0xff, 0xff, 0x7f})
		name := filepath.Join(t.TempDir(), "bomb.zip")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := verify(t, OpenOptions{}, Expectations{}, name); !strings.Contains(fmt.Sprint(r.Faults), "overlap") {
			t.Fatalf("%+v", r.Faults)
		}
	})
}

func TestVerifyStopsWhenItIsTold(t *testing.T) {
	a, err := Open([]string{repack(t, unpack(t, someItems()))}, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Verify(ctx, t.TempDir(), Expectations{}); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Fatalf("got %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	for _, out := range []string{"a", "a.zip"} {
		dir := f.TempDir()
		sealed := pack(f, testOptions(filepath.Join(dir, out)), someItems()[:2])
		data, err := os.ReadFile(filepath.Join(dir, sealed.Files[0]))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		name := filepath.Join(t.TempDir(), "fuzz.zip")
		if !bytes.HasPrefix(data, zipMagic) {
			name = filepath.Join(t.TempDir(), "fuzz.tar")
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		verify(t, OpenOptions{MaxExpansion: 10}, Expectations{}, name)
	})
}
