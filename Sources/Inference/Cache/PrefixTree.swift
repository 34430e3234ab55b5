// Blocks of keys and values that texts have in common: a radix tree whose edges are blocks of tokens, as in SGLang
// (Zheng et al., 2023, arXiv:2312.07104), over the pages of vLLM (Kwon et al., 2023, arXiv:2309.06180).
//
// A node is one full block: the tokens in it, and the place in the pool where their keys and values stand. Texts that begin
// alike go the same way from a root; what a root stands for (an adapter, a tenant's salt) keeps apart texts that must not
// share. A node with users is held; the others stay for later texts and are given up when the pool has nothing else, those
// that were not used for longest first.
//
// Invariant: a node's parent has at least as many users as the node. Nodes without users stand in the order of their last use
// with every child before its parent, so that the first of them is a leaf. A block in the tree is full and is never written.
// A root that nothing follows on and that no text uses is forgotten, whatever salts requests bring.

/// The tree of cached blocks.
struct PrefixTree {
  /// A node's place in the tree.
  typealias Node = Int

  /// What must be equal for texts to share blocks, their tokens apart.
  struct Root: Hashable {
    /// Stands for the adapter with which keys and values were computed; empty: none.
    var adapter = ""
    /// Keeps a tenant's texts from others', who could otherwise tell from the time of a reply what he had asked.
    var salt = ""
  }

  private struct Edge: Hashable {
    var parent: Node
    var tokens: ArraySlice<Int32>
  }

  private struct Entry {
    var edge: Edge
    var block: Int32
    var users = 0
    var children = 0
    /// Neighbours among the nodes without users; -1: none.
    var older = -1
    var newer = -1
  }

  /// Tokens in a block.
  let blockSize: Int
  private var roots: [Root: Node] = [:]
  /// By node of a root: texts that begin with it, and nodes that follow on it.
  private var rootUses: [Node: (root: Root, uses: Int)] = [:]
  private var nextRoot = -2
  private var nodes: [Edge: Node] = [:]
  private var entries: [Entry?] = []
  private var vacant: [Node] = []
  /// The ends of the list of nodes without users.
  private var (oldest, newest) = (-1, -1)
  /// Nodes without users: blocks that can be had.
  private(set) var idle = 0

  init(blockSize: Int) { self.blockSize = blockSize }

  /// All nodes, roots left out.
  var count: Int { nodes.count }
  var rootCount: Int { roots.count }

  func block(_ node: Node) -> Int32 { entries[node]!.block }
  func users(_ node: Node) -> Int { entries[node]!.users }

  /// The root that a text begins with, held for it. Roots are negative and have no entry.
  mutating func hold(_ root: Root) -> Node {
    if let known = roots[root] {
      rootUses[known]!.uses += 1
      return known
    }
    let new = nextRoot
    nextRoot -= 1
    roots[root] = new
    rootUses[new] = (root, 1)
    return new
  }

  /// A text that began with a root ends.
  mutating func release(root: Node) { removeUse(of: root) }

  private mutating func removeUse(of root: Node) {
    rootUses[root]!.uses -= 1
    if rootUses[root]!.uses == 0 { roots[rootUses.removeValue(forKey: root)!.root] = nil }
  }

  /// The node that follows on `parent` with a block of tokens, if it is there.
  func child(_ parent: Node, _ tokens: ArraySlice<Int32>) -> Node? { nodes[Edge(parent: parent, tokens: tokens)] }

  /// The nodes of the longest known beginning of a text.
  ///
  /// - Parameter limit: the most tokens that are looked at.
  func match(_ root: Root, _ tokens: [Int32], limit: Int) -> [Node] {
    guard var parent = roots[root] else { return [] }
    var result: [Node] = []
    for start in stride(from: 0, to: min(limit, tokens.count) - blockSize + 1, by: blockSize) {
      guard let node = child(parent, tokens[start..<(start + blockSize)]) else { break }
      result.append(node)
      parent = node
    }
    return result
  }

  /// One more user of a node, whose parent he uses already.
  mutating func hold(_ node: Node) {
    if entries[node]!.users == 0 { unlink(node) }
    entries[node]!.users += 1
  }

  /// One user less. Of a path, the last node is given up first.
  mutating func release(_ node: Node) {
    entries[node]!.users -= 1
    precondition(entries[node]!.users >= 0, "node \(node) is released more often than it was held")
    if entries[node]!.users == 0 { link(node) }
  }

  /// Adds a block behind `parent`, held by one user.
  ///
  /// - Precondition: it is not there yet.
  mutating func insert(_ parent: Node, _ tokens: ArraySlice<Int32>, block: Int32) -> Node {
    // A slice keeps its whole array alive; the key keeps only its own tokens.
    let edge = Edge(parent: parent, tokens: ArraySlice(Array(tokens)))
    precondition(tokens.count == blockSize && nodes[edge] == nil, "a new full block")
    let node = vacant.popLast() ?? entries.count
    if node == entries.count { entries.append(nil) }
    entries[node] = Entry(edge: edge, block: block, users: 1)
    nodes[edge] = node
    if parent >= 0 { entries[parent]!.children += 1 } else { rootUses[parent]!.uses += 1 }
    return node
  }

  /// Gives up the node that was not used for longest.
  ///
  /// - Returns: its block; nil if all nodes have users.
  mutating func evict() -> Int32? {
    guard oldest >= 0 else { return nil }
    let node = oldest
    let entry = entries[node]!
    precondition(entry.children == 0, "a node is given up after those that follow on it")
    unlink(node)
    nodes[entry.edge] = nil
    let parent = entry.edge.parent
    if parent >= 0 { entries[parent]!.children -= 1 } else { removeUse(of: parent) }
    entries[node] = nil
    vacant.append(node)
    return entry.block
  }

  // MARK: The list of nodes without users

  private mutating func link(_ node: Node) {
    (entries[node]!.older, entries[node]!.newer) = (newest, -1)
    if newest >= 0 { entries[newest]!.newer = node } else { oldest = node }
    newest = node
    idle += 1
  }

  private mutating func unlink(_ node: Node) {
    let (older, newer) = (entries[node]!.older, entries[node]!.newer)
    if older >= 0 { entries[older]!.newer = newer } else { oldest = newer }
    if newer >= 0 { entries[newer]!.older = older } else { newest = older }
    idle -= 1
  }
}
