package energycsv

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// buttonFeed has blocks of two meters before it says what their readings are.
const buttonFeed = `<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xmlns:e="http://naesb.org/espi">
<entry><link rel="self" href="/U/1/MeterReading/1/IntervalBlock/1"/><link rel="up" href="/U/1/MeterReading/1/IntervalBlock"/><content><e:IntervalBlock>
<e:interval><e:duration>1800</e:duration><e:start>1330578000</e:start></e:interval>
<e:IntervalReading><e:cost>974</e:cost><e:value>282</e:value></e:IntervalReading>
<e:IntervalReading><e:value>-9007199254740993</e:value></e:IntervalReading>
</e:IntervalBlock></content></entry>
<entry><content><e:IntervalBlock>
<e:IntervalReading><e:timePeriod><e:duration>86400</e:duration><e:start>1341100800</e:start></e:timePeriod><e:value>5</e:value></e:IntervalReading>
</e:IntervalBlock></content><link rel="self" href="/U/2/MeterReading/1/IntervalBlock/9"/></entry>
<entry><link rel="self" href="/U/1/MeterReading/1"/><link rel="related" href="/U/1/MeterReading/1/IntervalBlock"/><link rel="related" href="/T/1"/><content><e:MeterReading/></content></entry>
<entry><link rel="self" href="/U/2/MeterReading/1"/><link rel="related" href="/T/2/"/><link rel="related" href="/U/2/MeterReading/1/IntervalBlock"/><content><e:MeterReading/></content></entry>
<entry><link rel="self" href="/T/1"/><content><e:ReadingType><e:commodity>1</e:commodity><e:intervalLength>900</e:intervalLength><e:powerOfTenMultiplier>-3</e:powerOfTenMultiplier><e:uom>72</e:uom></e:ReadingType></content></entry>
<entry><link rel="self" href="/T/2"/><content><e:ReadingType><e:commodity>7</e:commodity><e:powerOfTenMultiplier>2</e:powerOfTenMultiplier><e:uom>42</e:uom></e:ReadingType></content></entry>
<entry><content><e:LocalTimeParameters><e:dstEndRule>B40E2000</e:dstEndRule><e:dstOffset>3600</e:dstOffset><e:dstStartRule>360E2000</e:dstStartRule><e:tzOffset>-18000</e:tzOffset></e:LocalTimeParameters></content></entry>
</feed>`

func TestGreenButton(t *testing.T) {
	records := readAll(t, buttonFeed)
	want := ` electricity Wh 2012-03-01T00:00:00 PT15M 0.282
 electricity Wh 2012-03-01T00:15:00 PT15M -9007199254740.993
 gas m3 2012-06-30T20:00:00 P1D 500`
	if got := lines(t, records); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if !strings.Contains(string(records[0].Native.Document), "<e:cost>974</e:cost>") {
		t.Errorf("the cost is not kept: %s", records[0].Native.Document)
	}
	checkSame(t, readAll(t, written(t, records...)), records)
}

func TestGreenButtonRefused(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"no type":        {`<link rel="self" href="/T/1"/>`, "", "no ReadingType says"},
		"number":         {"<e:value>282<", "<e:value>2,8<", "not a number"},
		"exponent":       {">-3<", ">-3000<", "not a number"},
		"multiplier":     {">-3<", ">x<", "line"},
		"no length":      {"<e:intervalLength>900</e:intervalLength>", "", "0 seconds"},
		"far":            {"<e:start>1330578000<", "<e:start>9223372036854775807<", "begins at"},
		"cut":            {"</feed>", "", "line"},
		"unknown entity": {"974", "&boom;", "entity"},
		"long":           {"974", strings.Repeat("x", maxElement+8192), "more than"},
		"large type":     {"<e:uom>72", "<!--" + strings.Repeat("x", maxType) + "--><e:uom>72", "ReadingType has more than"},
	} {
		var err error
		for _, e := range Codec().Decode(strings.NewReader(strings.Replace(buttonFeed, c.from, c.to, 1))) {
			err = e
		}
		if !errors.Is(err, formats.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestLocalTime(t *testing.T) {
	america := localTime{Offset: -18000, Daylight: 3600, Begins: "360E2000", Ends: "B40E2000"} // second Sunday of March, first of November, at 2
	europe := localTime{Offset: 3600, Daylight: 3600, Begins: "3E0E2000", Ends: "AE0E3000"}    // last Sundays of March and October
	south := localTime{Offset: 36000, Daylight: 3600, Begins: "A40E2000", Ends: "440E3000"}    // first Sundays of October and April
	fixed := localTime{Offset: 0, Daylight: 3600, Begins: "31F00000", Ends: "43520000"}        // 31 March, first Monday from 21 April on
	for _, c := range []struct {
		clock     localTime
		utc, want string
	}{
		{america, "2012-03-11T06:59:59", "2012-03-11T01:59:59"}, {america, "2012-03-11T07:00:00", "2012-03-11T03:00:00"},
		{america, "2012-11-04T05:59:59", "2012-11-04T01:59:59"}, {america, "2012-11-04T06:00:00", "2012-11-04T01:00:00"},
		{europe, "2026-03-29T00:59:59", "2026-03-29T01:59:59"}, {europe, "2026-03-29T01:00:00", "2026-03-29T03:00:00"},
		{europe, "2026-10-25T00:59:59", "2026-10-25T02:59:59"}, {europe, "2026-10-25T01:00:00", "2026-10-25T02:00:00"},
		{south, "2026-01-01T00:00:00", "2026-01-01T11:00:00"}, {south, "2026-07-01T00:00:00", "2026-07-01T10:00:00"},
		{fixed, "2026-03-30T23:59:59", "2026-03-30T23:59:59"}, {fixed, "2026-03-31T00:00:00", "2026-03-31T01:00:00"},
		{localTime{}, "2026-07-01T00:00:00", "2026-07-01T00:00:00"}, {localTime{Daylight: 3600, Begins: "x"}, "2026-07-01T00:00:00", "2026-07-01T00:00:00"},
	} {
		at, err := time.Parse(startForm, c.utc)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.clock.of(at).Format(startForm); got != c.want {
			t.Errorf("%s: got %s, want %s", c.utc, got, c.want)
		}
	}
	if at, ok := ruleDay("43520000", 2026); !ok || at.Format(time.DateOnly) != "2026-04-27" {
		t.Errorf("got %v", at)
	}
}

func TestSamples(t *testing.T) {
	dir := os.Getenv("PASSERELLE_SAMPLES")
	if dir == "" {
		t.Skip("PASSERELLE_SAMPLES is not set: no readings from elsewhere")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "energy", "test_usage_data_*.xml"))
	if len(files) == 0 {
		t.Fatal("no samples")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		records := readAll(t, string(text))
		if n := strings.Count(string(text), "<IntervalReading"); len(records) != n {
			t.Errorf("%s: %d readings of %d", filepath.Base(file), len(records), n)
		}
		first, err := formats.BodyAs[formats.EnergyReading](records[0])
		if err != nil || first.Unit != "Wh" || first.Commodity != "electricity" || first.Interval != "PT15M" || !strings.HasSuffix(first.Start, "T00:00:00") {
			t.Errorf("%s: %+v %v", filepath.Base(file), first, err)
		}
		checkSame(t, readAll(t, written(t, records...)), records)
	}
}
