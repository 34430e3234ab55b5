// Which blocks of the pool belong to which text: block tables, what texts share, and what can be had when the pool is full.
//
// A text has a table of blocks, one for each `blockSize` positions. A block that is full and computed goes into the prefix
// tree, where later texts find it. Only blocks in the tree are shared, and those are never written: so a text that branches
// off computes at most `blockSize` - 1 tokens again. Ways in which one text might go on share its full blocks, too; each has a
// copy of the one that is not full, and the way that the text takes keeps its own.
//
// A store keeps copies of full blocks: what is not in the tree may be there.
//
// Invariant: each block of the pool is in one place: free, in one text's table beyond its nodes, in one of its branches, or in
// one node of the tree.

/// The blocks of the cache, without their contents.
struct PagedCache {
  /// A text's part of the cache.
  struct Table {
    fileprivate let root: PrefixTree.Node
    fileprivate var parent: PrefixTree.Node
    /// The shared blocks, which the tree holds.
    fileprivate var nodes: [PrefixTree.Node] = []
    /// Of what its nodes hold, if there is a store.
    fileprivate var key: BlockKey?
    /// Blocks of the pool, shared ones first.
    private(set) var blocks: [Int32] = []
    /// The blocks that each branch has instead of the last ones.
    fileprivate var branches: [[Int32]] = []
    /// How many blocks it had before it got room for drafts; nil: it has none.
    fileprivate var own: Int?

    fileprivate init(_ root: PrefixTree.Node) { (self.root, parent) = (root, root) }

    fileprivate mutating func share(_ node: PrefixTree.Node, _ block: Int32) {
      if nodes.count < blocks.count { blocks[nodes.count] = block } else { blocks.append(block) }
      nodes.append(node)
      parent = node
    }
    fileprivate mutating func append(_ block: Int32) { blocks.append(block) }
    /// Exchanges the blocks from a number on; gives those that were there.
    fileprivate mutating func replace(from first: Int, with new: [Int32]) -> ArraySlice<Int32> {
      defer { blocks.replaceSubrange(first..., with: new) }
      return blocks[first...]
    }
  }

  let blockSize: Int
  /// Blocks in the pool.
  let count: Int
  private var tree: PrefixTree
  private var free: [Int32]
  private let store: (any BlockStore)?

  /// A full block that a text will compute next.
  struct Coming: Hashable {
    fileprivate var parent: PrefixTree.Node
    fileprivate var tokens: ArraySlice<Int32>
  }

  init(blocks: Int, blockSize: Int, store: (any BlockStore)? = nil) {
    (count, self.blockSize, self.store) = (blocks, blockSize, store)
    tree = PrefixTree(blockSize: blockSize)
    // The first blocks are taken first.
    free = (0..<Int32(blocks)).reversed()
  }

  /// Blocks that nobody uses: free ones and those that are kept for later texts.
  var available: Int { free.count + tree.idle }
  /// Blocks that are kept for later texts.
  var idle: Int { tree.idle }

  /// What keeps texts apart that are known of.
  var roots: Int { tree.rootCount }

  /// How many blocks `tokens` positions take.
  func blocks(for tokens: Int) -> Int { (tokens + blockSize - 1) / blockSize }

  /// Begins a text with what is known of it.
  ///
  /// - Returns: its table, which covers `table.blocks.count * blockSize` tokens, all computed, and less than all of them: the
  ///   logits after the last are wanted.
  ///
  /// - Parameter isStored: whether its blocks are looked for in the store, and put there.
  mutating func begin(_ tokens: [Int32], _ root: PrefixTree.Root, isStored: Bool = true) -> Table {
    let known = tree.match(root, tokens, limit: tokens.count - 1)
    var table = Table(tree.hold(root))
    for node in known {
      tree.hold(node)
      table.share(node, tree.block(node))
    }
    if isStored, let store { restore(tokens, root, from: store, into: &table) }
    return table
  }

  /// Takes from the store what follows on a text's nodes.
  private mutating func restore(
    _ tokens: [Int32], _ root: PrefixTree.Root, from store: any BlockStore, into table: inout Table
  ) {
    func block(_ index: Int) -> ArraySlice<Int32> { tokens[(index * blockSize)..<((index + 1) * blockSize)] }
    var key = table.nodes.indices.reduce(BlockKey(root)) { $0.following(block($1)) }
    while (table.nodes.count + 1) * blockSize < tokens.count {
      let tokens = block(table.nodes.count)
      let next = key.following(tokens)
      guard store.contains(next), let place = free.popLast() ?? tree.evict() else { break }
      guard store.load(next, into: place) else {
        free.append(place)
        break
      }
      table.share(tree.insert(table.parent, tokens, block: place), place)
      key = next
    }
    table.key = key
  }

  /// What would be free if some texts gave up their blocks.
  struct Relief {
    /// How many of those texts use a node.
    fileprivate var users: [PrefixTree.Node: Int] = [:]
    fileprivate(set) var blocks = 0
  }

  /// Counts a text among those that give up their blocks.
  func add(_ table: Table, to relief: inout Relief) {
    relief.blocks += table.blocks.count - table.nodes.count
    for node in table.nodes {
      relief.users[node, default: 0] += 1
      if relief.users[node] == tree.users(node) { relief.blocks += 1 }
    }
  }

  /// Counts a text no more among those that give up their blocks.
  func remove(_ table: Table, from relief: inout Relief) {
    relief.blocks -= table.blocks.count - table.nodes.count
    for node in table.nodes {
      if relief.users[node] == tree.users(node) { relief.blocks -= 1 }
      relief.users[node]! -= 1
    }
  }

  /// The first block of a text that is not in the tree; nil: it has no more full blocks.
  func next(_ tokens: [Int32], _ table: Table) -> Coming? {
    let start = table.nodes.count * blockSize
    guard start + blockSize <= tokens.count else { return nil }
    return Coming(parent: table.parent, tokens: tokens[start..<(start + blockSize)])
  }

  /// How many blocks more than there are `positions` of a text take; none if it is not positive.
  func missing(_ positions: Int, in table: Table) -> Int { blocks(for: positions) - table.blocks.count - available }

  /// The most positions of a text that there is room for.
  func most(in table: Table) -> Int { (table.blocks.count + available) * blockSize }

  /// Makes room for `positions` of a text.
  ///
  /// - Returns: whether there was enough; if not, the table is as it was.
  mutating func reserve(_ positions: Int, in table: inout Table) -> Bool {
    guard missing(positions, in: table) <= 0 else { return false }
    let count = blocks(for: positions) - table.blocks.count
    for _ in 0..<max(0, count) { table.append(free.popLast() ?? tree.evict()!) }
    return true
  }

  /// Makes room for `positions` of a text, the last of which are drafted: what is not used is given back in `settle`.
  mutating func reserve(drafts positions: Int, in table: inout Table) -> Bool {
    let own = table.blocks.count
    guard reserve(positions, in: &table) else { return false }
    table.own = own
    return true
  }

  /// Begins another way on of a text.
  ///
  /// - Parameters:
  ///   - start: the first position that is written; what stands before it in its block is to be copied.
  ///   - positions: how many the text has on this way.
  /// - Returns: its blocks; nil if there are not enough.
  mutating func branch(from start: Int, to positions: Int, in table: inout Table) -> [Int32]? {
    let first = start / blockSize
    precondition(table.nodes.count <= first && first < table.blocks.count, "a branch at \(start)")
    let missing = blocks(for: positions) - first
    guard missing <= available else { return nil }
    let own = (0..<missing).map { _ in free.popLast() ?? tree.evict()! }
    table.branches.append(own)
    return table.blocks[..<first] + own
  }

  /// Ends the branches of a text, which goes on on one of them, or as if there had been none, and gives back the room of drafts
  /// that were wrong: nobody need give way for it.
  ///
  /// - Parameters:
  ///   - start: where they began.
  ///   - computed: how many of the text's tokens have keys and values in the cache.
  mutating func settle(_ branch: Int?, from start: Int, computed: Int, in table: inout Table) {
    var left = table.branches
    if let branch { left[branch] = Array(table.replace(from: start / blockSize, with: left[branch])) }
    for blocks in left { free += blocks }
    table.branches = []
    guard let own = table.own else { return }
    table.own = nil
    let kept = max(own, blocks(for: computed))
    if kept < table.blocks.count { free += table.replace(from: kept, with: []).reversed() }
  }

  /// Puts into the tree the blocks of a text that are full now.
  ///
  /// - Parameter computed: how many of its tokens have keys and values in the cache.
  mutating func computed(_ computed: Int, of tokens: [Int32], in table: inout Table) {
    while (table.nodes.count + 1) * blockSize <= computed {
      let index = table.nodes.count
      let block = tokens[(index * blockSize)..<((index + 1) * blockSize)]
      table.key = table.key?.following(block)
      if let known = tree.child(table.parent, block) {
        // Somebody was quicker, with the same values: one copy is enough.
        free.append(table.blocks[index])
        tree.hold(known)
        table.share(known, tree.block(known))
      } else {
        table.share(tree.insert(table.parent, block, block: table.blocks[index]), table.blocks[index])
        if let key = table.key { store?.save(key, from: table.blocks[index]) }
      }
    }
  }

  // MARK: Blocks of other engines

  /// The blocks of a text's beginning that are here.
  func known(_ tokens: [Int32], _ root: PrefixTree.Root) -> [Int32] {
    tree.match(root, tokens, limit: tokens.count).map(tree.block)
  }

  /// A table that holds none of a text's blocks yet.
  mutating func hold(_ root: PrefixTree.Root) -> Table { Table(tree.hold(root)) }

  /// Adds to a table that was begun with `hold` the blocks behind its last that others have computed.
  mutating func follow(_ tokens: [Int32], in table: inout Table) {
    while let coming = next(tokens, table), let node = tree.child(coming.parent, coming.tokens) {
      tree.hold(node)
      table.share(node, tree.block(node))
    }
  }

  /// Takes blocks that were computed elsewhere: as those of a text that has computed them.
  ///
  /// - Parameters:
  ///   - tokens: as far as the last of the blocks.
  ///   - first: the number of the first.
  ///   - write: called for each that is not here, with its number and the block of the pool that it is to be written to.
  /// - Returns: whether they are here now; if not, those in front of them are not, or there is no room.
  mutating func adopt(
    _ tokens: [Int32], from first: Int, _ root: PrefixTree.Root, write: (_ number: Int, _ block: Int32) -> Void
  ) -> Bool {
    var table = begin(tokens, root)
    defer { end(table) }
    guard table.nodes.count >= first, reserve(tokens.count, in: &table) else { return false }
    for number in table.nodes.count..<table.blocks.count { write(number, table.blocks[number]) }
    computed(tokens.count, of: tokens, in: &table)
    return true
  }

  /// Gives up a text's blocks; the shared ones stay in the tree as long as there is room.
  mutating func end(_ table: consuming Table) {
    for block in table.blocks[table.nodes.count...].reversed() { free.append(block) }
    for blocks in table.branches { free += blocks }
    for node in table.nodes.reversed() { tree.release(node) }
    tree.release(root: table.root)
  }
}
