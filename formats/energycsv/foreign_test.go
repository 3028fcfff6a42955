package energycsv

import (
	"strings"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
)

// lines writes readings as lines of provider, commodity, unit, start, interval and value.
func lines(t *testing.T, records []formats.Record) string {
	t.Helper()
	ids := map[string]bool{}
	var out []string
	for _, r := range records {
		b, err := formats.BodyAs[formats.EnergyReading](r)
		if err != nil {
			t.Fatal(err)
		}
		if ids[r.ID] {
			t.Errorf("the id %s is there twice", r.ID)
		}
		ids[r.ID] = true
		if r.Native == nil {
			t.Error("a row of another program is not kept")
		}
		out = append(out, strings.Join([]string{b.Provider, b.Commodity, b.Unit, b.Start, b.Interval, string(b.Value)}, " "))
	}
	return strings.Join(out, "\n")
}

const enedisFacts = "Identifiant PRM;Type de donnees;Date de debut;Date de fin;Grandeur physique;Grandeur metier;Etape metier;Unite;Pas en minutes\r\n"

func TestForeign(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"load curve": {
			enedisFacts + "01234567890123;Courbe de charge;05/01/2026;06/01/2026;Energie active;Consommation;Comptage Brut;W;30\r\n" +
				"Horodate;Valeur\r\n2026-01-05T00:30:00+01:00;446\r\n2026-01-05T01:00:00+01:00;\r\n2026-01-05T01:30:00+01:00;0\r\n",
			"enedis electricity W 2026-01-05T00:00:00 PT30M 446\nenedis electricity W 2026-01-05T01:00:00 PT30M 0"},
		"step from the stamps": {
			"\ufeffIdentifiant PRM;01234567890123;Type de données;Courbe de charge;\nHorodate;Valeur\n2026-01-05T00:15:00+01:00;1\n2026-01-05T00:30:00+01:00;2\n2026-01-05T01:00:00+01:00;3\n",
			"enedis electricity W 2026-01-05T00:00:00 PT15M 1\nenedis electricity W 2026-01-05T00:15:00 PT15M 2\nenedis electricity W 2026-01-05T00:45:00 PT15M 3"},
		"one stamp": {"Horodate;Valeur\n2026-01-05T00:30:00+01:00;1,5\n", "enedis electricity W 2026-01-05T00:00:00 PT30M 1.5"},
		"clocks go forward": {
			"Horodate;Valeur\n2026-03-29T01:30:00+01:00;1\n2026-03-29T03:00:00+02:00;2\n2026-03-29T03:30:00+02:00;3\n",
			"enedis electricity W 2026-03-29T01:00:00 PT30M 1\nenedis electricity W 2026-03-29T01:30:00 PT30M 2\nenedis electricity W 2026-03-29T03:00:00 PT30M 3"},
		"clocks go back": {
			"Horodate;Valeur\n2026-10-25T02:30:00+02:00;1\n2026-10-25T02:00:00+01:00;1\n2026-10-25T02:30:00+01:00;1\n",
			"enedis electricity W 2026-10-25T02:00:00 PT30M 1\nenedis electricity W 2026-10-25T02:30:00 PT30M 1\nenedis electricity W 2026-10-25T02:00:00 PT30M 1"},
		"clocks go back, no zone": {
			"Horodate;Valeur\n2026-10-25 02:00:00;1\n2026-10-25 02:30:00;1\n2026-10-25 02:00:00;1\n2026-10-25 02:30:00;1\n",
			"enedis electricity W 2026-10-25T01:30:00 PT30M 1\nenedis electricity W 2026-10-25T02:00:00 PT30M 1\nenedis electricity W 2026-10-25T01:30:00 PT30M 1\nenedis electricity W 2026-10-25T02:00:00 PT30M 1"},
		"a column of steps": {
			"Identifiant PRM;Date de début;Date de fin;Grandeur physique;Grandeur métier;Etape métier;Unité;Horodate;Valeur;Nature;Pas\n" +
				"01234567890123;2026-01-01;2026-01-02;EA;CONS;BRUT;Wh;2026-01-01T00:00:00+01:00;10;R;PT5M\n",
			"enedis electricity Wh 2026-01-01T00:00:00 PT5M 10"},
		"daily": {
			enedisFacts + "01234567890123;Energie quotidienne;30/03/2026;31/03/2026;Energie active;Consommation;Comptage Brut;kWh;\nHorodate;Valeur\n2026-03-30T00:00:00+02:00;12.40\n",
			"enedis electricity kWh 2026-03-30T00:00:00 P1D 12.40"},
		"peaks": {
			enedisFacts + "01234567890123;Puissance maximale quotidienne;30/03/2026;31/03/2026;Puissance maximale atteinte;Consommation;;;\nHorodate;Valeur\n2026-03-30T00:00:00+02:00;5420\n",
			"enedis electricity VA 2026-03-30T00:00:00 P1D 5420"},
		"gas, in Windows-1252": {
			"N\xb0 PCE;Date de relev\xe9;Volume consomm\xe9 (m3);Energie consomm\xe9e (kWh);Coefficient de conversion;Temp\xe9rature locale (\xb0C)\r\n" +
				"GI000000;31/12/2025;3,20;35,968;11,24;4\r\nGI000000;01/01/2026;;;;\r\n",
			"grdf gas m3 2025-12-31T00:00:00 P1D 3.20\ngrdf gas kWh 2025-12-31T00:00:00 P1D 35.968"},
		"monthly":          {"Mois;Consommation (kWh)\n01/2026;1 234,5\nTotal;1234,5\n", " electricity kWh 2026-01-01T00:00:00 P1M 1234.5"},
		"from, to":         {"Date de début,Date de fin,Consommation gaz (m³)\n2026-01-01,2026-03-02,\"12,5\"\n", " gas m3 2026-01-01T00:00:00 P60D 12.5"},
		"water":            {"Date;Index (m3);Consommation_litres\n2026-01-01;10;150\n", " water L 2026-01-01T00:00:00 P1D 150"},
		"date and hour":    {"Date;Heure;Consommation (Wh)\n01/01/2026;00:00;5\n01/01/2026;01:00;6\n", " electricity Wh 2026-01-01T00:00:00 PT60M 5\n electricity Wh 2026-01-01T01:00:00 PT60M 6"},
		"a facts row less": {"Identifiant PRM;Type de donnees\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.want == "" {
				for _, err := range Codec().Decode(strings.NewReader(c.text)) {
					if err == nil {
						t.Error("this has no readings")
					}
				}
				return
			}
			records := readAll(t, c.text)
			if got := lines(t, records); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			checkSame(t, readAll(t, c.text), records)
			checkSame(t, readAll(t, written(t, records...)), records)
		})
	}
}

// TestForeignIsKept: what a reading has no place for is in the native document.
func TestForeignIsKept(t *testing.T) {
	r := readAll(t, enedisFacts+"01234567890123;Courbe de charge;05/01/2026;06/01/2026;Energie active;Production;Comptage Brut;W;30\nHorodate;Valeur\n2026-01-05T00:30:00+01:00;446\n")[0]
	for _, kept := range []string{"01234567890123", "Production", `"columns":["Horodate","Valeur"],"row":["2026-01-05T00:30:00+01:00","446"]`} {
		if !strings.Contains(string(r.Native.Document), kept) {
			t.Errorf("%s is not in %s", kept, r.Native.Document)
		}
	}
}

// TestLong: what follows the part of the file that is looked at is read alike.
func TestLong(t *testing.T) {
	text := "Horodate;Valeur\n" + strings.Repeat("2026-01-05T00:30:00+01:00;1\n2026-01-05T01:00:00+01:00;2\n", 5000)
	if got := readAll(t, text); len(got) != 10000 {
		t.Errorf("%d readings", len(got))
	}
}
