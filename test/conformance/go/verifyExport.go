// Checks an exported folder with nothing of ours: golang.org/x/mod/sumdb/note and sumdb/tlog.
//
//	verifyExport <folder> <verifier key> [<earlier checkpoint>]
//
// Prints how many rows are in the tree of the checkpoint. Ends with 1 and says why when anything is not as signed.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tiles reads c2sp.org/tlog-tiles: as Go's own, without the height in the path.
type tiles struct{ folder string }

func (tiles) Height() int                         { return 8 }
func (tiles) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range wanted {
		path := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		hashes, err := os.ReadFile(filepath.Join(t.folder, path))
		if err != nil {
			return nil, err
		}
		all = append(all, hashes)
	}
	return all, nil
}

func open(file string, verifiers note.Verifiers) tlog.Tree {
	text, err := os.ReadFile(file)
	must(err)
	opened, err := note.Open(text, verifiers)
	must(err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := base64.StdEncoding.DecodeString(lines[2])
	must(err)
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree
}

func main() {
	folder := os.Args[1]
	verifier, err := note.NewVerifier(os.Args[2])
	must(err)
	verifiers := note.VerifierList(verifier)
	tree := open(filepath.Join(folder, "checkpoint"), verifiers)
	reader := tlog.TileHashReader(tree, tiles{folder})

	rows, err := os.Open(filepath.Join(folder, "rows.ndjson"))
	must(err)
	scanner := bufio.NewScanner(rows)
	scanner.Buffer(nil, 1<<26)
	checked := 0
	for scanner.Scan() {
		var row struct{ Index, Entry string }
		must(json.Unmarshal(scanner.Bytes(), &row))
		if row.Entry == "" { // removed at the end of its retention
			continue
		}
		index, err := strconv.ParseInt(row.Index, 10, 64)
		must(err)
		proof, err := tlog.ProveRecord(tree.N, index, reader)
		must(err)
		must(tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash([]byte(row.Entry))))
		checked++
	}
	must(scanner.Err())

	if len(os.Args) > 3 {
		earlier := open(os.Args[3], verifiers)
		proof, err := tlog.ProveTree(tree.N, earlier.N, reader)
		must(err)
		must(tlog.CheckTree(proof, tree.N, tree.Hash, earlier.N, earlier.Hash))
		fmt.Printf("consistent with %d\n", earlier.N)
	}
	fmt.Printf("%d rows of %d\n", checked, tree.N)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
