package conformance

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing/iotest"

	"github.com/passerelle-cloud/passerelle/formats"
	"github.com/passerelle-cloud/passerelle/operators"
)

func testEveryKind(s *suite) {
	l := s.begin(origin("series-1")).results(everyKind(), operators.Stored).finish()
	s.expect("every kind", l.records()...)
}

func testAwkwardNames(s *suite) {
	l := s.begin(origin("series-1")).results(awkward(), operators.Stored, operators.Renamed).finish()
	s.expect("awkward names", l.records()...)
}

// testHostilePaths allows a target to refuse or to rename such paths; what it says that it holds must be there.
func testHostilePaths(s *suite) {
	l := s.begin(origin("series-1"))
	for _, e := range hostile() {
		l.send(e)
		out, err := l.PutRecord(s.Context(), e.Record)
		if err != nil {
			s.Fatalf("PutRecord with the path %.100q: %v", e.Path, err)
		}
		if out.Result != operators.Refused {
			l.held[key(e.Record)] = out.Record
		} else if out.Omission == nil || out.Omission.Reason == "" {
			s.Errorf("%.100q is refused and nothing says why", e.Path)
		}
	}
	l.finish()
	onlyFiles := slices.DeleteFunc(s.read(), func(r formats.Record) bool { return r.Kind == formats.KindFolder })
	s.compare("hostile paths", onlyFiles, l.records())
}

func testEmpty(s *suite) {
	l := s.begin(origin("series-1")).results([]entry{
		folder("d-1", "Vide"), folder("d-2", "Plein"), folder("d-3", "Plein/Vide aussi"),
		file("f-1", "vide.txt", ""), file("f-2", "Plein/vide aussi.txt", ""),
	}, operators.Stored).finish()
	s.expect("empty files and folders", l.records()...)
}

func testChildrenFirst(s *suite) {
	l := s.begin(origin("series-1")).results([]entry{
		file("f-1", "a/b/c.txt", "deep"), folder("d-2", "a/b"), folder("d-1", "a"),
		file("f-2", "x/y/z.txt", "its folders have no record"),
	}, operators.Stored).finish()
	s.expect("children first", l.records()...)
}

// testSamePath puts two files at one path: neither may be lost.
func testSamePath(s *suite) {
	l := s.begin(origin("series-1")).results([]entry{file("f-1", "a.txt", "one")}, operators.Stored)
	l.results([]entry{file("f-2", "a.txt", "two")}, operators.Stored, operators.Renamed).finish()
	s.expect("same path twice", l.records()...)
}

func testFileAndFolder(s *suite) {
	l := s.begin(origin("series-1")).results([]entry{file("f-1", "a", "a file"), folder("d-1", "b")}, operators.Stored)
	l.results([]entry{folder("d-2", "a"), file("f-2", "a/x", "inside"), file("f-3", "b", "a file")}, operators.Stored, operators.Renamed)
	l.finish()
	s.expect("file where a folder is", l.records()...)
}

func testBigBlob(s *suite) {
	big := make([]byte, 5<<20+1)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(big)
	e := withContent(file("big", "big.bin", ""), string(big))
	l := s.begin(origin("series-1"))
	blob, err := l.PutBlob(s.Context(), iotest.HalfReader(bytes.NewReader(big)), int64(len(big)))
	if err != nil || blob.SHA256 != e.Blob.SHA256 {
		s.Fatalf("PutBlob: %v, %v", blob, err)
	}
	l.put(e)
	l.finish()
	s.expect("big blob", l.records()...)
}

var errBroken = errors.New("the line broke")

// testBrokenReader checks that half a blob is never taken for a blob, and that the load goes on without it.
func testBrokenReader(s *suite) {
	content := strings.Repeat("half and half ", 20000)
	half := content[:len(content)/2]
	l := s.begin(origin("series-1"))
	_, err := l.PutBlob(s.Context(), io.MultiReader(strings.NewReader(half), iotest.ErrReader(errBroken)), int64(len(content)))
	if !errors.Is(err, errBroken) {
		s.Errorf("a content that breaks off gave %v, want its own error", err)
	}
	for _, text := range []string{content, half} {
		s.expectUnknown(l, text)
	}
	l.put(file("f-1", "a.txt", "whole"))
	l.finish()
	s.expect("broken reader", l.records()...)
}

func (s *suite) expectUnknown(l *load, content string) {
	s.Helper()
	has, err := l.Has(s.Context(), *file("", "", content).Blob)
	if err != nil || has {
		s.Errorf("Has(%.20q…) is %v, %v for bytes that the target must not have", content, has, err)
	}
}

func testWrongSize(s *suite) {
	l := s.begin(origin("series-1"))
	for _, size := range []int64{0, 4, 6, 1 << 40} {
		if blob, err := l.PutBlob(s.Context(), strings.NewReader("cinq!"), size); err == nil {
			s.Errorf("five bytes were taken for %d: %v", size, blob)
		}
	}
	s.expectUnknown(l, "cinq!")
	s.expectUnknown(l, "cinq")
	l.put(file("f-1", "a.txt", "whole"))
	l.finish()
	s.expect("wrong size", l.records()...)
}

// testBlobNeverSent checks that no record is held without its bytes.
func testBlobNeverSent(s *suite) {
	l := s.begin(origin("series-1"))
	e := file("f-1", "a.txt", "never sent")
	if out, err := l.PutRecord(s.Context(), e.Record); err == nil && out.Result != operators.Refused {
		s.Errorf("a record without its bytes is %s", out.Result)
	}
	e.Blob = &formats.Blob{Size: 3}
	if out, err := l.PutRecord(s.Context(), e.Record); err == nil && out.Result != operators.Refused {
		s.Errorf("a record with a blob of unknown hash is %s", out.Result)
	}
	if err := l.Abort(); err != nil {
		s.Errorf("Abort: %v", err)
	}
}

func testUnsound(s *suite) {
	l := s.begin(origin("series-1"))
	for name, r := range map[string]formats.Record{
		"no id":         {Dataset: formats.Other, Kind: formats.KindDocument, Body: []byte(`{}`)},
		"no dataset":    {ID: "x", Kind: formats.KindDocument, Body: []byte(`{}`)},
		"no kind":       {ID: "x", Dataset: formats.Other, Body: []byte(`{}`)},
		"unknown area":  {ID: "x", Dataset: formats.Files, Kind: formats.KindFolder, Path: "elsewhere/x", Body: []byte(`{}`)},
		"control in id": {ID: "x\ny", Dataset: formats.Other, Kind: formats.KindDocument, Body: []byte(`{}`)},
	} {
		if out, err := l.PutRecord(s.Context(), r); err == nil && out.Result != operators.Refused {
			s.Errorf("a record with %s is %s", name, out.Result)
		}
	}
	if err := l.Abort(); err != nil {
		s.Errorf("Abort: %v", err)
	}
}

// testCancelled cancels in the middle of a blob.
func testCancelled(s *suite) {
	ctx, cancel := context.WithCancel(s.Context())
	l := s.begin(origin("series-1"))
	content := strings.NewReader(strings.Repeat("x", 4<<20))
	reader := readFunc(func(p []byte) (int, error) {
		cancel()
		return content.Read(p[:min(len(p), 64<<10)])
	})
	if _, err := l.PutBlob(ctx, reader, content.Size()); !errors.Is(err, context.Canceled) {
		s.Errorf("PutBlob, cancelled on the way: %v, want context.Canceled", err)
	}
	if _, err := l.PutRecord(ctx, folder("d-1", "Dossier").Record); !errors.Is(err, context.Canceled) {
		s.Errorf("PutRecord, cancelled: %v, want context.Canceled", err)
	}
	if err := l.Abort(); err != nil {
		s.Errorf("Abort: %v", err)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// testBlobKnown checks that Has never promises bytes that are not there.
func testBlobKnown(s *suite) {
	l := s.begin(origin("series-1"))
	s.expectUnknown(l, "shared")
	one, two := file("f-1", "one.txt", "shared"), file("f-2", "two.txt", "shared")
	l.put(one)
	has, err := l.Has(s.Context(), *two.Blob)
	if err != nil || s.caps.KnowsBlobs && !has {
		s.Errorf("Has is %v, %v for bytes that were just put", has, err)
	}
	l.put(two)
	l.finish()
	s.expect("blob known", l.records()...)
}

func testNothing(s *suite) {
	s.begin(origin("series-1")).finish()
	s.expect("an empty load")
}
