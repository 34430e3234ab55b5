// The grammar of the stories: a cast and props are drawn first, then one of nine plots tells what happens to them.

/// One generated story.
struct Story {
  let text: String

  init(_ dice: inout Dice) {
    var teller = Teller(dice)
    teller.tell()
    dice = teller.dice
    text = teller.sentences.joined(separator: " ")
  }
}

/// Somebody in a story, with the words that stand for them.
private struct Character {
  let name: String
  let he: String
  let his: String
  let him: String

  var subject: String { he == "he" ? "He" : "She" }

  static func boy(_ name: String) -> Character { Character(name: name, he: "he", his: "his", him: "him") }
  static func girl(_ name: String) -> Character { Character(name: name, he: "she", his: "her", him: "her") }
}

private struct Teller {
  var dice: Dice
  var sentences: [String] = []
  private let hero: Character
  private let friend: Character
  private let animal: String
  private let place: (at: String, to: String)
  private let thing: String
  private let color: String
  private let food: String

  private static let children: [Character] = [
    .girl("Mia"), .boy("Tom"), .boy("Ben"), .girl("Lily"), .boy("Sam"), .girl("Anna"), .boy("Leo"), .girl("Zoe"),
    .boy("Max"), .girl("Nora"),
  ]
  private static let animals = ["cat", "dog", "fox", "bear", "frog", "duck", "mouse", "rabbit", "bird", "hen"]
  private static let places: [(at: String, to: String)] = [
    ("in the garden", "to the garden"), ("in the forest", "to the forest"), ("in the park", "to the park"),
    ("on the beach", "to the beach"), ("on the hill", "to the hill"), ("by the river", "to the river"),
    ("on the farm", "to the farm"),
  ]
  private static let things = ["ball", "kite", "hat", "book", "drum", "boat", "bell", "doll", "cup", "key"]
  private static let colors = ["red", "blue", "green", "yellow", "big", "little", "old", "new"]
  private static let foods = ["apples", "cakes", "nuts", "plums", "pears", "carrots"]

  init(_ dice: Dice) {
    var dice = dice
    let first = dice.roll(Self.children.count)
    hero = Self.children[first]
    friend = Self.children[(first + 1 + dice.roll(Self.children.count - 1)) % Self.children.count]
    animal = dice.pick(Self.animals)
    place = dice.pick(Self.places)
    thing = dice.pick(Self.things)
    color = dice.pick(Self.colors)
    food = dice.pick(Self.foods)
    self.dice = dice
  }

  private mutating func say(_ variants: String...) { sentences.append(dice.pick(variants)) }

  private mutating func speak(_ speaker: String, _ words: String) {
    sentences.append("\"\(words)\" said \(speaker).")
  }

  private mutating func ask(_ speaker: String, _ words: String) {
    sentences.append("\"\(words)\" asked \(speaker).")
  }

  mutating func tell() {
    switch dice.roll(9) {
    case 0: lostThing()
    case 1: sharing()
    case 2: rain()
    case 3: race()
    case 4: darkNight()
    case 5: building()
    case 6: hungryAnimal()
    case 7: birthday()
    default: stuckThing()
    }
  }

  private mutating func lostThing() {
    say("\(hero.name) had a \(color) \(thing).", "Once \(hero.name) had a \(color) \(thing).")
    say(
      "One day \(hero.he) took the \(thing) \(place.to).",
      "One morning \(hero.he) went \(place.to) with the \(thing).")
    say("But then the \(thing) was gone!", "Then \(hero.he) lost the \(thing).")
    say("\(hero.name) was sad.", "\(hero.name) looked and looked, but \(hero.he) could not find it.")
    say("A \(animal) came along.", "A little \(animal) saw \(hero.him).")
    ask("the \(animal)", "Why are you sad?")
    speak(hero.name, "I lost my \(color) \(thing),")
    let hidden = dice.pick(["under a tree", "behind a stone", "in the grass", "under a leaf"])
    say("The \(animal) looked \(hidden).", "So the \(animal) ran and looked \(hidden).")
    say("There was the \(thing)!", "The \(color) \(thing) was there!")
    speak(hero.name, "Thank you, \(animal)!")
    ending()
  }

  private mutating func sharing() {
    let number = 2 + dice.roll(9)
    let given = 1 + dice.roll(number - 1)
    say("\(hero.name) and \(friend.name) were good friends.", "\(hero.name) and \(friend.name) played \(place.at).")
    say("\(hero.name) had \(number) \(food).", "\(hero.name) had a bag with \(number) \(food).")
    say("\(friend.name) had no \(food).", "\(friend.name) was hungry, but \(friend.he) had no \(food).")
    ask(friend.name, "May I have some?")
    speak(hero.name, "Yes, we can share,")
    say("\(hero.subject) gave \(friend.name) \(count(given)).")
    say("Now \(friend.name) had \(count(given)) and \(hero.name) had \(count(number - given)).")
    ending()
  }

  private func count(_ number: Int) -> String { number == 1 ? "1 " + food.dropLast() : "\(number) \(food)" }

  private mutating func rain() {
    say("\(hero.name) went \(place.to) with a \(animal).", "\(hero.name) and a \(animal) walked \(place.to).")
    say("The sun was warm.", "It was a fine day.")
    say("Then dark clouds came and it began to rain.", "But soon it began to rain.")
    say("\(hero.name) and the \(animal) got wet.", "They got very wet and cold.")
    speak(hero.name, "Let us run home!")
    say("They ran home as fast as they could.", "They ran and ran until they were home.")
    say("At home it was warm and dry.", "The house was warm.")
    say("\(hero.name) made hot soup, and the \(animal) slept by the fire.", "They sat by the fire and ate hot soup.")
    ending()
  }

  private mutating func race() {
    let rival = dice.pick(Self.animals.filter { $0 != animal })
    say("A \(animal) and a \(rival) met \(place.at).", "One day a \(animal) met a \(rival) \(place.at).")
    speak("the \(animal)", "I am the fastest,")
    speak("the \(rival)", "No, I am faster than you,")
    say("So they ran a race.", "So they ran a race to the big tree.")
    say("The \(animal) ran fast, but then it stopped to eat.", "The \(animal) was first, but it got tired and slept.")
    say("The \(rival) did not stop.", "The \(rival) ran on and on.")
    say("So the \(rival) won the race.", "And so the \(rival) was the first at the tree.")
    speak("the \(animal)", "Well done, \(rival)!")
    say("After that they were friends.", "Then they ate \(food) together.")
  }

  private mutating func darkNight() {
    say("It was night, and \(hero.name) was in bed.", "One night \(hero.name) could not sleep.")
    say("\(hero.subject) heard a noise.", "There was a noise at the window.")
    ask(hero.name, "Who is there?")
    say("\(hero.subject) was scared.", "\(hero.name) was scared of the dark.")
    say("So \(hero.he) took a lamp and went to look.", "But \(hero.he) was brave and took a lamp.")
    say("It was only a little \(animal)!", "It was a \(animal), and it was cold.")
    say("\(hero.name) let it in and gave it a warm bed.", "\(hero.subject) gave the \(animal) some milk.")
    speak(hero.name, "Good night, little \(animal),")
    say("Then they both slept well.", "Soon they were both asleep.")
  }

  private mutating func building() {
    let built = dice.pick(["house", "tower", "bridge"])
    say("\(hero.name) wanted to build a \(built) of \(dice.pick(["sand", "wood", "stones"])).")
    say("\(hero.subject) worked all morning \(place.at).", "\(hero.subject) went \(place.to) and worked hard.")
    say("But the wind came, and the \(built) fell down.", "But the \(built) was too high, and it fell down.")
    say("\(hero.name) wanted to stop.", "\(hero.name) was sad and sat down.")
    speak(friend.name, "Do not be sad. We can try again,")
    say("\(hero.name) and \(friend.name) worked together.", "So they built it again, slowly and well.")
    say("This time the \(built) did not fall.", "Now the \(built) was strong.")
    ending()
  }

  private mutating func hungryAnimal() {
    say("There was a little \(animal) that lived \(place.at).", "A \(animal) lived \(place.at).")
    say("It was winter, and the \(animal) was hungry.", "One day it was very hungry.")
    say("It looked for \(food), but there were none.", "It could not find any \(food).")
    say("Then \(hero.name) came by with a bag.", "\(hero.name) saw the \(animal) and stopped.")
    ask(hero.name, "Are you hungry?")
    say("The \(animal) looked up.", "The \(animal) came near.")
    say("\(hero.name) gave it \(food).", "So \(hero.he) took some \(food) out of \(hero.his) bag.")
    say("The \(animal) ate and ate.", "The \(animal) ate them all.")
    say("Now it was not hungry any more.", "From that day it was \(hero.name)'s friend.")
  }

  private mutating func birthday() {
    let age = 3 + dice.roll(7)
    say("Today was \(hero.name)'s birthday.", "It was the birthday of \(hero.name).")
    say(
      "\(hero.subject) was \(age) years old.",
      "Yesterday \(hero.he) was \(age - 1), and today \(hero.he) was \(age).")
    say("\(friend.name) came with a box.", "\(friend.name) gave \(hero.him) a box.")
    ask(hero.name, "What is in the box?")
    speak(friend.name, "Open it and see,")
    say("In the box was a \(color) \(thing).", "It was a \(color) \(thing)!")
    say("\(hero.name) liked the \(thing) very much.", "\(hero.name) had always wanted a \(thing).")
    say("They played with the \(thing) and ate cake.", "Then they took the \(thing) \(place.to) and played.")
    ending()
  }

  private mutating func stuckThing() {
    say("\(hero.name) played with a \(color) \(thing) \(place.at).")
    say("The \(thing) flew up into a tree.", "The wind took the \(thing) up into a tree.")
    say("The tree was too high for \(hero.name).", "\(hero.name) could not reach it.")
    ask(hero.name, "Can you help me?")
    say("\(friend.name) was too small.", "\(friend.name) could not reach it, too.")
    speak("a bird", "I can help you,")
    say("The bird flew up and got the \(thing).", "It flew up into the tree and took the \(thing).")
    speak(hero.name, "Thank you, bird!")
    ending()
  }

  private mutating func ending() {
    say(
      "\(hero.name) was very happy.", "\(hero.name) was happy again.", "Then they all went home.",
      "It was a good day.", "And \(hero.he) smiled.")
  }
}
